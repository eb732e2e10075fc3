"""How much memory this process may use: the machine's, or less where a control group (of a container, of a service)
says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from glasses.system.board_sensors import MIB, read_number, read_text

_CGROUPS = "sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """`mb` (MiB) and what sets it: "this machine", or "a control group" with its path."""

    mb: float
    of: str


def memory_limit(root: Path = Path("/"), total_mb: float | None = None) -> MemoryLimit:
    """The lowest limit that holds for this process; `total_mb` is the machine's memory, else as the system says.

    A child's limit and all of its parents' hold. Inside a container its own group is usually the root of what is seen.
    """
    least = MemoryLimit(total_mb or psutil.virtual_memory().total / MIB, "this machine")
    for path in _limit_files(root):
        limit = read_number(path)  # "max" is no number; the old interface says no limit by a number beyond any memory
        if limit is not None and limit / MIB < least.mb:
            least = MemoryLimit(limit / MIB, f"the control group's limit, {path}")
    return least


def _limit_files(root: Path) -> Iterator[Path]:
    """Where limits may stand: memory.max of cgroup v2, memory.limit_in_bytes of v1, from this process's group up."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            folder, name = root / _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part not in ("", "..")]
        for n in range(len(parts), -1, -1):
            yield folder.joinpath(*parts[:n], name)
