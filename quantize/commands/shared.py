"""What the subcommands share: a parser with examples, and progress on stderr."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from glasses.errors import InputError, Reason
from glasses.model_store import store

Subparsers = Any  # argparse's own class is private
Step = Callable[[str], Callable[[], None]]
LINE_EVERY_S = 10.0


def parser(subparsers: Subparsers, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    """A subcommand's parser with `--json` and its examples."""
    added = subparsers.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.add_argument("--json", action="store_true", help="print the figures as JSON")
    return added


@contextmanager
def steps() -> Iterator[Step]:
    """Yields `step(what) -> tick`: progress on standard error, one moving line of a terminal that is gone at the end.

    Elsewhere a line every LINE_EVERY_S seconds, so nothing of what is quick.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}{task.fields[count]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def step(what: str) -> Callable[[], None]:
            for task in progress.tasks:
                progress.update(task.id, visible=False)
            task_id, done = progress.add_task(what, total=None, count=""), itertools.count(1)
            return lambda: progress.update(task_id, count=f": {next(done)}")

        yield step


def _lines() -> Step:
    due_s = [time.monotonic() + LINE_EVERY_S]

    def say(text: str) -> None:
        if time.monotonic() >= due_s[0]:
            print(text, file=sys.stderr, flush=True)
            due_s[0] = time.monotonic() + LINE_EVERY_S

    def step(what: str) -> Callable[[], None]:
        say(f"{what} ...")
        done = itertools.count(1)
        return lambda: say(f"{what}: {next(done)} done")

    return step


def check_least(least: int, **options: int | None) -> None:
    """Raises InputError(BAD_INPUT) for an option under `least`; None stands for no limit."""
    for name, value in options.items():
        if value is not None and value < least:
            raise InputError(Reason.BAD_INPUT, f"--{name} {value}: at least {least}")


def task_limit(text: str) -> int | None:
    """What --tasks says: items an eval set, 0 for none, None for all. Raises InputError(BAD_INPUT)."""
    if text == "all":
        return None
    if not text.isdecimal() or text == "1":
        raise InputError(Reason.BAD_INPUT, f"--tasks {text}: 0, 2 or more, or all")
    return int(text)


def model_path(source: str) -> Path:
    """A path, or the first file of a model that models/manifests names. Raises ModelError as store.path_of."""
    if not Path(source).exists() and source in store.manifest_names():
        return store.path_of(source)
    return Path(source)


def show(figures: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Prints either form."""
    print(json.dumps(figures, ensure_ascii=False) if as_json else text)


def described(path: Path) -> dict[str, Any]:
    """What is always said of a file that was written."""
    return {"file": str(path), "bytes": path.stat().st_size, "sha256": store.sha256_of(path)}


def line(found: dict[str, Any]) -> str:
    """`described` for a reader."""
    return f"{found['file']}: {found['bytes'] / 1e6:.1f} MB, sha256 {found['sha256']}"
