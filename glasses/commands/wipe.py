"""`glasses wipe`: makes the running `glasses run` forget what it remembers; deletes recordings on request.

This is the panic button of a small board, so it loads no module that it does not need.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
from pathlib import Path

from glasses.errors import GlassesError, InputError, Reason
from glasses.system import process_file

_FINISH_S = 10.0  # the longest that a slow card needs to finish a segment
_DEFAULT_FOLDER = Path()  # stands for --recordings without a folder
_EXAMPLE = """\
examples:
  glasses wipe                        the running glasses forget the last half hour at once, and confirm it; the
                                      index of your documents is deleted, the documents stay
  glasses wipe --recordings           ... and what `glasses run --record` wrote is deleted, but for what is kept
  glasses wipe --recordings DIR       ... in another folder
  sudo systemctl kill -s RTMIN glasses    the same for the boot service

exit status: 0 what was asked for is forgotten, 2 it is not; where nothing of yours runs there is nothing in memory,
which is 2 for `glasses wipe` (is it the right user?) and 0 with --recordings, which were deleted
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `wipe`."""
    parser = subparsers.add_parser(
        "wipe",
        description="Forget what was heard and seen. A glasses run without --record holds it in memory only.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recordings", nargs="?", type=Path, const=_DEFAULT_FOLDER, metavar="DIR", help="delete recordings too"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=run, logs=False)  # logging is one module more


def run(args: argparse.Namespace) -> int:
    """Wipes the memory of the running process, then deletes recordings and the index of documents.

    Recordings are deleted even where the process does not confirm. Raises GlassesError: NOT_FOUND where nothing runs
    and no recordings were named, REFUSED, TIMEOUT, BUSY, BAD_INPUT.
    """
    try:
        return _wiped(args)
    finally:
        _forget_index()


def _wiped(args: argparse.Namespace) -> int:
    folder = _recordings(args)
    unfinished = list(folder.glob("*.part")) if folder and _is_recorded_to(folder) else []
    pid, unconfirmed = None, None
    try:
        pid = process_file.request_wipe()
    except GlassesError as error:
        if not folder:
            raise
        unconfirmed = error if error.reason is not Reason.NOT_FOUND else None
    done: dict[str, int | None] = {"wiped_pid": pid}
    if folder:
        if pid or unconfirmed:
            _wait_for(unfinished)
        done["recordings_deleted"] = _delete(folder)
    if unconfirmed:
        raise unconfirmed
    memory = f"memory wiped (pid {pid})" if pid else "no glasses run of this user runs"
    deleted = f"; recordings deleted: {done['recordings_deleted']}" if folder else ""
    print(json.dumps(done) if args.json else memory + deleted)
    return 0


def _forget_index() -> None:
    """Deletes the index of the wearer's documents, which is made anew by the next search; the documents stay."""
    from glasses.folders import own_state_folder  # noqa: PLC0415  # after what is urgent

    for name in ("documents.db", "documents.db-journal"):
        path = own_state_folder() / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(Reason.BAD_INPUT, f"{path} could not be deleted: {error.strerror}") from error


def _recordings(args: argparse.Namespace) -> Path | None:
    if args.recordings != _DEFAULT_FOLDER:
        return args.recordings
    from glasses.recording.folder import default_folder  # noqa: PLC0415  # loads encryption and the file format

    return default_folder()


def _is_recorded_to(folder: Path) -> bool:
    """Whether a process holds the lock of glasses.recording.recorder.Recorder."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock, or no folder
        return False
    return False


def _wait_for(unfinished: list[Path]) -> None:
    """Waits until the recorder has ended the segment it was writing when it was wiped. Raises InputError(BUSY)."""
    end_s = time.monotonic() + _FINISH_S
    while any(path.exists() for path in unfinished):
        if time.monotonic() > end_s:
            names = ", ".join(path.name for path in unfinished if path.exists())
            raise InputError(Reason.BUSY, f"still being written, so nothing was deleted: {names}; try again")
        time.sleep(0.05)


def _delete(folder: Path) -> int:
    """Deletes every finished segment that is not kept, and what a dead process left half-written."""
    from glasses.recording.folder import segments  # noqa: PLC0415  # loads encryption and the file format

    found = [segment.path for segment in segments(folder) if not segment.kept]
    found += [] if _is_recorded_to(folder) else sorted(folder.glob("*.part"))
    try:
        for path in found:
            path.unlink()
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot delete in {folder}: {error.strerror}") from error
    return len(found)
