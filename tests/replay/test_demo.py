"""The shipped minute through the real turn manager, encoders and models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from glasses.__main__ import main
from glasses.events import TurnCompleted
from glasses.recording.demo_session import Said, events, load_session
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayer import ReplayEngine, Told
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_memory
from glasses.types import NS_PER_MS, Latents

STOPS_THE_TIMER = (38_000, "tap")
pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)  # as a busy machine starves more
    yield opened
    opened.close()


def replies(loaded: LoadedBundle, chunk_ms: int) -> list[ReplayedReply]:
    with open_memory(loaded) as memory:
        told = list[Told]()
        ReplayEngine(loaded, None, memory=memory).run(events(load_session(), chunk_ms=chunk_ms), told.append)
    return [what for what in told if isinstance(what, ReplayedReply)]


@pytest.fixture(scope="module")
def answered(loaded: LoadedBundle) -> list[ReplayedReply]:
    return replies(loaded, 20)


@pytest.fixture(scope="module")
def heard(answered: list[ReplayedReply]) -> list[TurnCompleted]:
    return [one.ended for one in answered]


def overlaps(one: TurnCompleted, said: Said) -> bool:
    """Whether the words were said in this turn."""
    span = one.span
    return span.activated_ns < said.end_ms * NS_PER_MS and said.t_ms * NS_PER_MS < span.decided_ns


def test_demo_touches_and_a_follow_up_are_turns_and_hold_what_was_said(heard: list[TurnCompleted]) -> None:
    session = load_session()
    touched = [(one.span.activated_ns // NS_PER_MS, one.turn.cause) for one in heard if one.turn.cause != "speech"]
    assert touched == [touch for touch in session.touches if touch != STOPS_THE_TIMER]
    assert [one.turn.cause for one in heard].count("speech") == 1
    for said in session.said:
        inside = [one for one in heard if overlaps(one, said)]
        assert len(inside) == said.addressed
        for one in inside:
            assert one.span.spoken_ns is not None
            assert abs(one.span.spoken_ns[0] / NS_PER_MS - said.t_ms) < 400
            assert abs(one.span.spoken_ns[1] / NS_PER_MS - said.end_ms) < 400


def test_demo_speech_to_somebody_else_is_in_no_turn(heard: list[TurnCompleted]) -> None:
    (other,) = [said for said in load_session().said if not said.addressed]
    for part in (part for one in heard for part in one.turn.inputs):
        assert isinstance(part, Latents)
        if part.modality == "audio":
            assert part.t_ns >= other.end_ms * NS_PER_MS or part.t_ns + part.duration_ns <= other.t_ms * NS_PER_MS


def test_demo_turns_carry_view_and_earlier_sound_only_where_due(heard: list[TurnCompleted]) -> None:
    kinds = ["".join(part.modality[0] for part in one.turn.inputs if isinstance(part, Latents)) for one in heard]
    assert kinds == ["as", "as", "as", "as", "asas", "as", "ias"]  # what is said and what is heard besides
    assert [one.view is not None for one in heard] == [one.turn.cause == "long_press" for one in heard]


@pytest.mark.parametrize("chunk_ms", [7, 32])
def test_demo_other_chunk_length_changes_no_turn(
    loaded: LoadedBundle, heard: list[TurnCompleted], chunk_ms: int
) -> None:
    others = [one.ended for one in replies(loaded, chunk_ms)]
    assert [one.span for one in others] == [one.span for one in heard]
    for one, other in zip(heard, others, strict=True):
        for mine, theirs in zip(one.turn.inputs, other.turn.inputs, strict=True):
            assert isinstance(mine, Latents)
            assert isinstance(theirs, Latents)
            assert (mine.t_ns, mine.duration_ns, mine.space) == (theirs.t_ns, theirs.duration_ns, theirs.space)
            assert np.array_equal(mine.data, theirs.data)


def test_demo_command_end_to_end_prints_answers_and_hud_pages(
    answered: list[ReplayedReply], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--fast", "--json", "--out", str(tmp_path), "--board", "frame"]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)["turns"]
    (rang,) = json.loads(out)["announced"]
    assert (rang["kind"], rang["text"]) == ("timer", "Your timer is up.")
    assert 33_000 < rang["t_ms"] < STOPS_THE_TIMER[0]
    assert [turn["answer"] for turn in shown] == [one.text for one in answered]
    for turn in shown:
        page = cv2.imread(str(tmp_path / f"hud-{turn['turn']}.png"))
        assert page is not None
        assert page.shape == (400, 640, 3)
        assert page.any() or not turn["answer"]
        assert {"silence", "encode", "prefill"} <= turn["wait_ms"].keys()
        if "text only" not in err and turn["answer"]:
            pcm, rate_hz = soundfile.read(tmp_path / f"reply-{turn['turn']}.wav")
            assert rate_hz >= 8000
            assert np.abs(pcm).max() > 0.05
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 1600
    assert not list(tmp_path.glob("*.part"))
