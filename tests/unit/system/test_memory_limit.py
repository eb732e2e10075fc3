from __future__ import annotations

from pathlib import Path

import pytest

from glasses.system.memory_limit import memory_limit

MIB = 1 << 20


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_memory_limit_without_control_groups_is_the_machines(tmp_path: Path) -> None:
    assert memory_limit(tmp_path, 4096.0).mb == 4096
    assert memory_limit(tmp_path, 4096.0).of == "this machine"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("sys/fs/cgroup/user.slice/glasses.service/memory.max", 512),  # its own
        ("sys/fs/cgroup/user.slice/memory.max", 512),  # its parent's
        ("sys/fs/cgroup/memory.max", 512),  # in a container: the root of what it sees
        ("sys/fs/cgroup/other.slice/memory.max", 4096),
    ],
)
def test_memory_limit_of_a_control_group_or_its_parents_holds(tmp_path: Path, at: str, expected: float) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/user.slice/glasses.service\n")
    put(tmp_path, at, f"{512 * MIB}\n")
    assert memory_limit(tmp_path, 4096.0).mb == expected


def test_memory_limit_takes_the_lowest_and_names_it(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/memory.max", f"{900 * MIB}")
    put(tmp_path, "sys/fs/cgroup/a/b/memory.max", "max\n")
    found = memory_limit(tmp_path, 4096.0)
    assert found.mb == 900
    assert "sys/fs/cgroup/a/memory.max" in found.of


def test_memory_limit_of_the_old_interface_holds(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "9:cpu,cpuacct:/x\n7:memory:/docker/ab\n")
    put(tmp_path, "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", f"{700 * MIB}")
    assert memory_limit(tmp_path, 4096.0).mb == 700


def test_memory_limit_path_that_leaves_the_groups_is_cut(tmp_path: Path) -> None:
    """A process that entered another namespace sees paths with `..`."""
    put(tmp_path, "proc/self/cgroup", "0::/../../etc\n")
    put(tmp_path, "etc/memory.max", "1")
    assert memory_limit(tmp_path, 4096.0).mb == 4096
