"""Prints the table of all cases of the wild corpus: kind, case, what is right, what came.

    python -m tests.wild.table                 all of them, some minutes
    python -m tests.wild.table --kind 13       of one kind
    python -m tests.wild.table --fast          none that takes more than ten seconds
    python -m tests.wild.table --json          one JSON object a case, as lines

The exit code is 1 where a case came out wrong that is not known to.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.wild.case import KINDS, Case, all_cases

NOT_TRIED = "not tried"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", type=int, choices=sorted(KINDS), help="cases of one kind only")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name holds WORD")
    parser.add_argument("--fast", action="store_true", help="none that takes more than ten seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object a case, as lines")
    args = parser.parse_args(argv)
    cases = [
        case
        for case in all_cases()
        if args.kind in (None, case.kind) and args.only in case.name and not (args.fast and case.marks)
    ]
    console = Console(width=None if sys.stdout.isatty() else 160)
    rows = []
    for case in track(cases, "trying", console=Console(stderr=True), disable=args.json):
        came, seconds = _try(case)
        rows.append((case, came, seconds))
        if args.json:
            print(json.dumps(_as_dict(case, came, seconds)), flush=True)
    if not args.json:
        _print(rows, console)
    return int(any(_verdict(case, came) == "WRONG" for case, came, _ in rows))


def _try(case: Case) -> tuple[str, float]:
    """What came, and the seconds that it took. An error of the case is what came."""
    began = time.monotonic()
    if _lacks_extra(case):
        return f"{NOT_TRIED}: needs the extra quantize", 0.0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            came = case.came(Path(folder))
        except Exception as error:  # the table goes on: what a case raises is what came of it
            came = f"{type(error).__name__}: {error}"
    return came, time.monotonic() - began


def _lacks_extra(case: Case) -> bool:
    return "quantize" in case.marks and importlib.util.find_spec("onnx") is None


def _verdict(case: Case, came: str) -> str:
    if came.startswith(NOT_TRIED):
        return NOT_TRIED
    if case.is_right(came):
        return "right"
    return f"wrong: {case.why_not}" if case.why_not else "WRONG"


def _as_dict(case: Case, came: str, seconds: float) -> dict[str, object]:
    return {
        "kind": case.kind,
        "case": case.name,
        "listed": case.is_listed,
        "right": case.right,
        "came": came,
        "verdict": _verdict(case, came),
        "seconds": round(seconds, 1),
    }


def _print(rows: list[tuple[Case, str, float]], console: Console) -> None:
    table = Table(expand=True)
    table.add_column("kind", justify="right")
    for title, ratio in (("case", 3), ("right", 4), ("came", 6), ("verdict", 2)):
        table.add_column(title, ratio=ratio, overflow="fold")
    for case, came, _ in rows:
        table.add_row(
            str(case.kind), case.name, case.right, came.replace("\n", " ")[:240], _verdict(case, came), style=None
        )
    console.print(table, markup=False)
    right = sum(case.is_right(came) for case, came, _ in rows)
    listed = sum(case.is_listed for case, _, _ in rows)
    kinds = len({case.kind for case, _, _ in rows})
    console.print(f"{right} of {len(rows)} right ({listed} of them listed, {kinds} kinds)", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
