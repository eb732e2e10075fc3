"""The kernel's own network made slow, lossy and gone: an answer within its time, and never two. Linux, no root needed
where namespaces of one's own are allowed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.live
NETEM = ("netem", "delay", "300ms", "loss", "5%")  # each way: a round trip is 600 ms
ANSWERS_S = 1.5  # to the first token: the goal after a remote model is lost
OWN = ("unshare", "--user", "--map-root-user", "--net")
PROGRAM = str(Path(__file__).with_name("slow_network.py"))


def must_have(*tools: str) -> None:
    for tool in ("unshare", *tools):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (make test-live does)")


def must_do(*command: str, why: str) -> None:
    tried = subprocess.run([*OWN, *command], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"{why}: {tried.stderr.strip()}")


def turns(n_turns: int, tc: Sequence[str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*OWN, sys.executable, PROGRAM, str(n_turns), *tc], stdout=subprocess.PIPE, text=True, timeout=600, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def each_answered_once_and_in_time(told: list[dict[str, Any]]) -> None:
    first_s = [turn["first_s"] for turn in told]
    print(f"{len(told)} turns, first token after {np.median(first_s):.2f} s (median), {max(first_s):.2f} s at most")
    for turn in told:
        assert turn["whole"], turn
        assert turn["last_tokens"] == 1, turn
        assert turn["first_s"] < ANSWERS_S, turn
        assert turn["longest_s"] < ANSWERS_S, turn
    assert [turn["broke_off"] for turn in told if turn["phase"] == "gone"] == [False] * 3
    assert not any(turn["tried_remotely"] for turn in told if turn["phase"] == "gone")


def test_offload_network_lost_mid_reply_is_answered_in_time_and_once() -> None:
    must_have("ip")
    must_do("ip", "link", "set", "lo", "up", why="no network namespace of one's own here")
    told = turns(2, ())
    each_answered_once_and_in_time(told)
    assert all(turn["broke_off"] for turn in told if turn["phase"] == "goes"), "it was answered remotely till then"
    assert not any(turn["broke_off"] for turn in told if turn["phase"] in ("slow", "back"))


def test_offload_slow_lossy_network_is_answered_in_time_and_once() -> None:
    """The network has a round trip of 600 ms and loses packets."""
    must_have("tc")
    must_do("tc", "qdisc", "add", "dev", "lo", "root", *NETEM, why="no netem in a namespace of one's own here")
    told = turns(16, NETEM)
    each_answered_once_and_in_time(told)
    slow = [turn for turn in told if turn["phase"] == "slow"]
    assert min(turn["rtt_ms"] for turn in slow if turn["rtt_ms"]) > 550, "the network was not slow"
    assert sum(turn["tried_remotely"] for turn in slow) >= 4
