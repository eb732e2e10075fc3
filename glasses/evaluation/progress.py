"""Progress of long commands: a bar for each stage on a terminal, elsewhere a line after FIRST_LINE_S seconds and then
every LINE_EVERY_S.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Tick = Callable[[str, int, int | None], None]  # stage, done, of how many (None: not known)
FIRST_LINE_S = 2.0
LINE_EVERY_S = 10.0


@contextmanager
def progress() -> Iterator[Tick]:
    """Shows what is ticked, on standard error."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description:>28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        stages: dict[str, TaskID] = {}

        def tick(stage: str, done: int, total: int | None) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield tick


def _lines() -> Tick:
    due_s = [time.monotonic() + FIRST_LINE_S]

    def tick(stage: str, done: int, total: int | None) -> None:
        if time.monotonic() >= due_s[0]:
            print(f"{stage}: {done}" + ("" if total is None else f" of {total}"), file=sys.stderr, flush=True)
            due_s[0] = time.monotonic() + LINE_EVERY_S

    return tick
