"""What the examples tell the user: how long a step takes, how far it is, and an error in one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from glasses.errors import GlassesError

Item = TypeVar("Item")
LINE_EVERY_S = 10.0


def run(main: Callable[[], None]) -> None:
    """Ends the process: 0, 2 with the error in a line, 130 at Ctrl-C."""
    try:
        main()
    except GlassesError as error:
        sys.exit(_line(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(_line("interrupted", 130))


def _line(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


@contextmanager
def step(what: str, about: str) -> Iterator[None]:
    """Says before a step of which nothing can be seen how long it takes, and afterwards how long it took."""
    began_s = time.monotonic()
    print(f"{what}: {about} on two idle cores", file=sys.stderr, flush=True)
    yield
    print(f"{what}: took {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)


def counted(what: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items, with a line every LINE_EVERY_S seconds."""
    due_s = time.monotonic() + LINE_EVERY_S
    for i, item in enumerate(items):
        if time.monotonic() >= due_s:
            print(f"{what}: {i} of {len(items)}", file=sys.stderr, flush=True)
            due_s = time.monotonic() + LINE_EVERY_S
        yield item
