"""`glasses wipe`: makes the running glasses forget what they remember, and deletes recordings where told to."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time
from pathlib import Path

from glasses.commands.run_controls import WIPE, running_pid
from glasses.errors import GlassesError, InputError, Reason
from glasses.recording.folder import default_folder, segments

_FINISH_S = 10.0  # a slow card, at the most
_EXAMPLE = """\
examples:
  glasses wipe                        the running glasses forget the last half hour at once
  glasses wipe --recordings           ... and what `glasses run --record` wrote is deleted, but for what is kept
  glasses wipe --recordings DIR       ... in another folder
  sudo systemctl kill -s RTMIN glasses    the same for the boot service
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `wipe`."""
    parser = subparsers.add_parser(
        "wipe",
        help="forget what was heard and seen",
        description="Forget what was heard and seen. A glasses run without --record holds it in memory only.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recordings", nargs="?", type=Path, const=default_folder(), metavar="DIR", help="delete recordings too"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Signals and deletes. Raises InputError: NOT_FOUND where nothing runs and no recordings were named, BAD_INPUT."""
    done: dict[str, int | None] = {"told_process": None}
    unfinished = list(args.recordings.glob("*.part")) if args.recordings and _is_recorded_to(args.recordings) else []
    try:
        done["told_process"] = running_pid()
        os.kill(done["told_process"], WIPE)
    except GlassesError:
        if not args.recordings:
            raise
    if args.recordings:
        if done["told_process"]:
            _wait_for(unfinished)
        done["recordings_deleted"] = _delete(args.recordings)
    process = f"told process {done['told_process']}" if done["told_process"] else "no glasses run of this user runs"
    deleted = f"; recordings deleted: {done['recordings_deleted']}" if args.recordings else ""
    print(json.dumps(done) if args.json else process + deleted)
    return 0


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
    """Whoever records ends the segment that is being written as it is told. Raises InputError(BUSY)."""
    end_s = time.monotonic() + _FINISH_S
    while any(path.exists() for path in unfinished):
        if time.monotonic() > end_s:
            names = ", ".join(path.name for path in unfinished if path.exists())
            raise InputError(Reason.BUSY, f"still being written, so nothing was deleted: {names}; try again")
        time.sleep(0.05)


def _delete(folder: Path) -> int:
    """Deletes every finished segment that is not kept, and what a dead process left half-written."""
    found = [segment.path for segment in segments(folder) if not segment.kept]
    found += [] if _is_recorded_to(folder) else sorted(folder.glob("*.part"))
    try:
        for path in found:
            path.unlink()
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot delete in {folder}: {error.strerror}") from error
    return len(found)
