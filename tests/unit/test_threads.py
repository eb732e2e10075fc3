"""Every long-lived thread is a SupervisedThread: none can die unseen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Threads that may be made otherwise, and why.
OTHERS = {
    "glasses/system/supervised.py": "is the SupervisedThread",
    "glasses/commands/__init__.py": "ends a process whose main thread hangs, from within a handler of signals",
    "glasses/model_store/sources.py": "reads what pip prints until pip ends",
    "glasses/service/client/sync_client.py": "runs an event loop; the client imports only types and errors",
    "glasses/system/daemon_call.py": "carries out one call, whose error is raised again where its result is awaited",
    "glasses/evaluation/bench/barge_in.py": "lives for one measurement, which fails without it",
    "glasses/evaluation/bench/faults.py": "guards and reads a process that is under test",
    "glasses/evaluation/bench/latency.py": "lives for one measurement, which fails without it",
}
FILES = [
    path.relative_to(ROOT).as_posix()
    for package in ("glasses", "firmware_bridge", "quantize")
    for path in sorted((ROOT / package).rglob("*.py"))
]


def makes_threads(source: str) -> bool:
    """Whether the source calls Thread or Timer, of whatever module, or makes a kind of its own of them."""
    for node in ast.walk(ast.parse(source)):
        named = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        for one in named:
            name = one.attr if isinstance(one, ast.Attribute) else one.id if isinstance(one, ast.Name) else ""
            if name in ("Thread", "Timer", "start_new_thread"):
                return True
    return False


@pytest.mark.parametrize(
    "source", ["threading.Thread(target=f)", "Timer(1, f)", "class T(threading.Thread): ...", "start_new_thread(f, ())"]
)
def test_thread_scan_every_way_to_make_one_is_found(source: str) -> None:
    assert makes_threads(source)
    assert not makes_threads("SupervisedThread(f, 'name').start()")


def test_threads_are_supervised_except_for_those_listed() -> None:
    found = {path for path in FILES if makes_threads((ROOT / path).read_text())}
    assert found == set(OTHERS)
