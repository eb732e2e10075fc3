"""`glasses check`: tells a person what is wrong with this installation and what to do."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from glasses.assistant.config_file import load_config
from glasses.commands.check_list import CheckContext, check
from glasses.recording.folder import default_folder
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.system.board import load_board

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_EXAMPLE = """\
examples:
  glasses check                        one line for each thing, and what to do where it is not well
  glasses check --board pi5 --full     read and hash every model file
  glasses check --json | jq '.[] | select(.state != "ok")'

Exit code: 0 nothing fails (there may be warnings), 1 something does, 2 an error.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `check`."""
    parser = subparsers.add_parser(
        "check",
        description="Look at models, microphone, speaker, camera, disk, memory, heat, power and the boot service.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="read and hash every model file")
    parser.add_argument("--bundle", help="(default: as configured)")
    parser.add_argument("--board", help="what this computer should be (default: as configured, or $GLASSES_BOARD)")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="(default: as configured)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Checks and prints. Raises InputError for an unknown board or a wrong configuration."""
    config = load_config().config
    board = load_board(args.board or config.board)
    recordings = args.recordings or config.recording.folder or default_folder()
    findings = check(
        CheckContext(chosen_bundle(args.bundle or config.bundle), board, recordings.absolute(), full=args.full)
    )
    failed = any(finding.state == "fail" for finding in findings)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
        return int(failed)
    console = Console(highlight=False)
    for finding in findings:
        console.print(
            Text(f"{finding.state:5}", _COLOURS[finding.state]),
            Text(f"{finding.name:11}{finding.found}"),
            soft_wrap=True,
        )
        if finding.advice:
            console.print(Text(f"{'':17}-> {finding.advice}"), soft_wrap=True)
    return int(failed)
