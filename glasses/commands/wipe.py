"""`glasses wipe`: makes the running glasses forget what they remember, and deletes recordings where told to."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from glasses.commands.run_controls import WIPE, running_pid
from glasses.errors import GlassesError, InputError, Reason
from glasses.recordings import default_folder, segments

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
    try:
        done["told_process"] = running_pid()
        os.kill(done["told_process"], WIPE)
    except GlassesError:
        if not args.recordings:
            raise
    if args.recordings:
        done["recordings_deleted"] = _delete(args.recordings)
    print(json.dumps(done) if args.json else "\n".join(f"{name.replace('_', ' ')}: {n}" for name, n in done.items()))
    return 0


def _delete(folder: Path) -> int:
    """Deletes every finished segment that is not kept; one being written ends within a minute and is not touched."""
    found = [segment for segment in segments(folder) if not segment.kept]
    try:
        for segment in found:
            segment.path.unlink()
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot delete in {folder}: {error.strerror}") from error
    return len(found)
