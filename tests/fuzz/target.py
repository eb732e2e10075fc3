"""What a fuzz target is, what it may answer, and one input tried on it."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.errors import LinkError
from glasses.errors import GlassesError

MAX_CPU_S = 1.0  # for one input, of this thread
MAX_GROWTH_KB = 200 << 10  # of the process's largest resident memory, by one input


@dataclass(frozen=True, slots=True)
class Target:
    """One reader: `read` does with the bytes what the product does with them, and raises what that raises.

    `seeds` are inputs to start from, the first of them good. An exception that is none of `allowed` is a finding.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    max_bytes: int = 4096
    allowed: tuple[type[Exception], ...] = (GlassesError, LinkError)
    needs_models: bool = False  # of the pocket bundle


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong with an input; two of one `signature` are one fault."""

    signature: str
    report: str


def tried(target: Target, data: bytes) -> Finding | None:
    """One input; None where the reader gave a value or refused it in words."""
    memory_kb, began_s = _largest_kb(), time.thread_time()
    try:
        target.read(data)
    except target.allowed:
        pass
    except Exception as error:  # which is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in reversed(last))
        return Finding(f"{type(error).__name__} in {where}", traceback.format_exc())
    spent_s, grown_kb = time.thread_time() - began_s, _largest_kb() - memory_kb
    if spent_s > MAX_CPU_S:
        return Finding("slow", f"{spent_s:.1f} s of CPU")
    if grown_kb > MAX_GROWTH_KB:
        return Finding("memory", f"{grown_kb >> 10} MB more at most")
    return None


def _largest_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
