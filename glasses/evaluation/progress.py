"""Progress of long commands: a bar for each stage on a terminal, elsewhere a line after FIRST_LINE_S seconds and then
every LINE_EVERY_S.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
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


@contextmanager
def staged_progress(stages: Mapping[str, float], *, first_line_s: float = FIRST_LINE_S) -> Iterator[Tick]:
    """As `progress`, for work whose stages are known: shows which of how many it is, and about how long all still take.

    `stages` are in order, each with what share of the work it is, in any unit.
    """
    names, began_s = [*stages], time.monotonic()

    def titled(stage: str) -> str:
        return f"{names.index(stage) + 1} of {len(names)}, {stage}"

    def left(stage: str, done: int, total: int | None) -> str:
        behind = sum(stages[one] for one in names[: names.index(stage)])
        behind += stages[stage] * min(1.0, done / max(1, total or done))
        return time_left((time.monotonic() - began_s) * (sum(stages.values()) / max(behind, 1e-9) - 1))

    if not sys.stderr.isatty():
        say = _lines(first_line_s)
        yield lambda stage, done, total: say(titled(stage), done, total, f"; {left(stage, done, total)} in all")
        return
    bar = (TextColumn("{task.description:>44}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*bar, console=Console(stderr=True)) as bars:
        shown: dict[str, TaskID] = {}

        def tick(stage: str, done: int, total: int | None) -> None:
            if stage not in shown:
                for task in shown.values():
                    bars.update(task, left="")
                shown[stage] = bars.add_task(titled(stage), total=total, left="")
            bars.update(shown[stage], completed=done, total=total, left=left(stage, done, total))

        yield tick


def time_left(seconds: float) -> str:
    """For a reader: seconds up to a minute and a half, else minutes."""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


def _lines(first_line_s: float = FIRST_LINE_S) -> Callable[..., None]:
    due_s = [time.monotonic() + first_line_s]

    def tick(stage: str, done: int, total: int | None, more: str = "") -> None:
        if time.monotonic() >= due_s[0]:
            print(f"{stage}: {done}{'' if total is None else f' of {total}'}{more}", file=sys.stderr, flush=True)
            due_s[0] = time.monotonic() + LINE_EVERY_S

    return tick
