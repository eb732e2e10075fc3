"""What the benchmark of everyday requests counts, with systems that answer always alike."""

from __future__ import annotations

from glasses.evaluation.bench.requests import FOLDER, Call, measure, report
from glasses.evaluation.requests import read_requests


def test_measure_of_a_system_that_never_calls_counts_no_false_call() -> None:
    figures = measure(lambda words: Call(None), 30, "never", lambda stage, done, total: None)
    assert figures["n"] == {"requests": 30, "none": 30, "unable": 30}
    assert (figures["right_tool"], figures["false_calls"], figures["unable_told"]) == (0, 0, 0)
    assert len(figures["wrong"]) == 60


def test_measure_of_the_strangers_set_takes_its_own_wordings() -> None:
    figures = measure(lambda words: Call(None), None, "never", lambda stage, done, total: None, "stranger")
    assert figures["n"] == {"requests": 176, "none": 120, "unable": 50}


def test_measure_of_a_system_that_knows_the_tools_counts_arguments_apart() -> None:
    tools = {one.words: one.tool for one in read_requests(FOLDER / "tools.jsonl")}
    figures = measure(
        lambda words: Call(tools.get(words, "unable"), {}), None, "knows", lambda stage, done, total: None
    )
    assert (figures["right_tool"], figures["false_calls"], figures["unable_told"]) == (1, 1, 1)
    assert 0 < figures["right_call"] < 1
    text = report({**figures, "chance": 0.03, "choice_ms": 1.0, "memory_mb": 2.0, "baseline": figures})
    assert "right tool" in text
    assert "100.0%" in text
