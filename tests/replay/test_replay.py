"""A recorded session through the real turn manager, encoders and backbone: the same, or the differences are named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.commands.replay import tolerances
from glasses.errors import InputError
from glasses.events import Outcome, TurnEvent, TurnSignal
from glasses.recording.demo_session import SHIPPED, events, load_session
from glasses.recording.entries import Answered, Decision
from glasses.recording.folder import segments
from glasses.recording.mcap_file import SegmentWriter
from glasses.replay.diff import RecordedTurn, Tolerances, compare, compare_gates
from glasses.replay.session import given, recorded
from glasses.types import AudioChunk, DeviceChange, Latents

S, MS = 1_000_000_000, 1_000_000


def recording_of_the_demo(path: Path, *, until_ms: int, start_ns: int) -> None:
    """Writes a recording of the shipped minute's sensor events, as `Recorder` does."""
    with path.open("wb") as out:
        writer = SegmentWriter(out, {"board": "desktop"})
        for event in events(load_session(), start_ns=start_ns):
            if event.t_ns < start_ns + until_ms * MS:
                writer.write(event)
        writer.finish()


@pytest.mark.models
@pytest.mark.slow
def test_replay_recording_decides_and_answers_as_its_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times are those of another boot. Sound is kept as it is; a picture goes through JPEG and may cost a word."""
    recording, told = tmp_path / "recording.mcap", tmp_path / "told.mcap"
    recording_of_the_demo(recording, until_ms=52_000, start_ns=77 * S)
    alike = ["--fast", "--no-voice", "--tolerance", "wait_ratio=inf"]
    assert main(["replay", str(recording), *alike, "--out", str(told)]) == 0
    capsys.readouterr()
    causes = ["tap", "speech", "tap", "tap", "tap", "tap", "long_press"]
    assert [turn.decision.cause for turn in recorded(told).turns] == causes
    assert main(["replay", str(SHIPPED), *alike, "--compare", str(told), "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert len(found["turns"]) == 7
    outside = [one for one in found["differences"] if not one["within"]]
    assert [one["what"] for one in outside if (one["turn"], one["what"]) != (7, "answer")] == []
    compared = {one["what"] for one in found["differences"]}
    assert {"activated", "end", "decided", "parts", "latents", "memory intent"} <= compared
    assert {"answer", "wait: prefill", "gate"} <= compared
    assert found["cost"]["descriptors"][1] <= found["cost"]["descriptors"][0] + 2


@pytest.mark.models
@pytest.mark.slow
def test_replay_many_passes_need_no_more_memory_or_threads(tmp_path: Path) -> None:
    """Nor do they need more file descriptors."""
    recording = tmp_path / "recording.mcap"
    recording_of_the_demo(recording, until_ms=7_000, start_ns=0)
    command = [sys.executable, "-m", "glasses", "replay", recording, "--fast", "--no-voice", "--passes", "24", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)  # its memory is its own
    cost = json.loads(done.stdout)["cost"]
    assert len(cost["memory_mb"]) == 24
    # From the ninth turn on the conversation is as long as it gets. A megabyte lost in each pass would be 8.
    assert np.median(cost["memory_mb"][16:]) - np.median(cost["memory_mb"][8:16]) < 6
    assert cost["descriptors"][1] <= cost["descriptors"][0] + 2


def turn(number: int, *, at_s: float = 5.0, text: str = "Paris.", prefill_ms: float = 100.0) -> RecordedTurn:
    t_ns = int(at_s * S)
    decision = Decision(t_ns + 4 * S, number, "tap", t_ns, t_ns + 3 * S, None, (("audio", t_ns, S, 4),))
    rows = np.random.default_rng(number).standard_normal((4, 8)).astype(np.float32)
    latents = Latents(t_ns, S, "audio", rows, "whisper:1")
    return RecordedTurn(
        decision, (latents,), Answered(t_ns + 4 * S, number, text, {"silence": 500, "prefill": prefill_ms})
    )


def outside(before: list[RecordedTurn], after: list[RecordedTurn], **limits: float) -> list[tuple[str, str]]:
    found = compare(before, after, Tolerances(**limits))  # pyright: ignore[reportArgumentType]
    return [(one.what, one.tolerance) for one in found if not one.within]


def test_compare_differences_are_named_with_their_tolerance() -> None:
    base = turn(1)
    assert outside([base], [base]) == []
    assert outside([base], [turn(1, text="Rome.")]) == [("answer", "answer_words")]
    assert outside([base], [turn(1, text="Rome.")], answer_words=1) == []
    assert outside([base], [turn(1, prefill_ms=900)]) == [("wait: prefill", "wait_ratio")]
    assert outside([turn(1, prefill_ms=900)], [base]) == []  # quicker
    assert outside([base], [turn(1, prefill_ms=240)]) == []
    late = replace(base, decision=replace(base.decision, end_ns=base.decision.end_ns + 90 * MS))
    assert outside([base], [late]) == [("end", "when_ms")]
    assert outside([base], [late], when_ms=100) == []
    asks = replace(base, decision=replace(base.decision, memory_intent="sound"))
    assert outside([base], [asks]) == [("memory intent", "all")]
    looks = replace(base, decision=replace(base.decision, cause="long_press"))
    assert outside([base], [looks]) == [("parts", "all")]
    other = replace(base, latents=(replace(base.latents[0], data=-base.latents[0].data),))
    assert outside([base], [other]) == [("latents", "latents_cosine")]
    moved = replace(base, latents=(replace(base.latents[0], space="whisper:2"),))
    assert outside([base], [moved]) == [("latents", "latents_cosine")]


def test_compare_interrupted_reply_counts_only_what_was_written() -> None:
    whole = turn(1, text="A week has seven days.")
    assert whole.answer is not None
    cut = replace(whole, answer=replace(whole.answer, text="A week has sev", outcome=Outcome.INTERRUPTED))
    assert outside([cut], [whole]) == []
    other = replace(whole, answer=replace(whole.answer, text="A year has twelve months."))
    assert outside([cut], [other]) == [("answer", "answer_words")]


def test_compare_gates_matches_signals_at_the_same_time() -> None:
    told = [
        TurnSignal(TurnEvent.TURN_STARTED, 5 * S, 1),
        TurnSignal(TurnEvent.INTERRUPTED, 9 * S, 1),
        TurnSignal(TurnEvent.INTERRUPTED, 12 * S, 1, continues_turn=True),
    ]

    def outside_of(after: list[TurnSignal], **limits: float) -> list[tuple[str, str]]:
        found = compare_gates(told, after, Tolerances(**limits))  # pyright: ignore[reportArgumentType]
        return [(one.before, one.after) for one in found if not one.within]

    assert outside_of(told) == []
    assert outside_of(told[1:]) == [("turn_started at 5.00 s", "none")]
    assert outside_of([*told, TurnSignal(TurnEvent.BARGE_IN_PENDING, 20 * S, 2)]) == [
        ("none", "barge_in_pending at 20.00 s")
    ]
    late = [told[0], replace(told[1], t_ns=told[1].t_ns + 90 * MS), told[2]]
    assert outside_of(late) == [("interrupted at 9.00 s", "none"), ("none", "interrupted at 9.09 s")]
    assert outside_of(late, when_ms=100) == []
    unlike = [*told[:2], replace(told[2], continues_turn=False)]
    assert [one for one, _ in outside_of(unlike)] == ["interrupted (same turn) at 12.00 s", "none"]


def test_compare_extra_or_missing_turn_is_one_difference() -> None:
    """The other turns are still compared."""
    one, two, three = turn(1, at_s=5), turn(2, at_s=20), turn(3, at_s=40)
    assert outside([one, two, three], [one, three]) == [("turn", "all")]
    assert outside([one, three], [one, two, three]) == [("turn", "all")]


def test_given_several_passes_follow_each_other_in_one_clock(tmp_path: Path) -> None:
    recording_of_the_demo(tmp_path / "r.mcap", until_ms=2100, start_ns=9 * S)
    told = list(given(tmp_path / "r.mcap", None, passes=3, start_ns=100 * S))
    times = [event.t_ns for event in told]
    assert times == sorted(times)
    assert times[0] == 100 * S
    assert [event.state for event in told if isinstance(event, DeviceChange)] == ["muted"] * 2, "each begins anew"
    assert len([event for event in told if isinstance(event, AudioChunk)]) % 3 == 0


def test_given_folder_is_one_session_and_names_a_broken_segment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = [event for event in events(load_session()) if isinstance(event, AudioChunk)][:100]
    for number in (1, 2):
        with (tmp_path / f"0000000{number}-x.mcap").open("wb") as out:
            writer = SegmentWriter(out, {})
            for chunk in chunks[50 * (number - 1) : 50 * number]:
                writer.write(chunk)
            writer.finish()
    assert len(segments(tmp_path)) == 2
    assert [event.t_ns for event in given(tmp_path, None, passes=1, start_ns=0)] == [one.t_ns for one in chunks]
    broken = tmp_path / "00000001-x.mcap"
    broken.write_bytes(b"not a recording")
    with pytest.raises(InputError, match="is damaged: it does not begin as an MCAP file does"):
        list(given(broken, None, passes=1, start_ns=0))
    second = [one.t_ns - chunks[50].t_ns for one in chunks[50:]]
    assert [event.t_ns for event in given(tmp_path, None, passes=1, start_ns=0)] == second
    assert ["00000001-x.mcap is damaged" in record.message for record in caplog.records] == [True]
    with pytest.raises(InputError, match="no recording"):
        list(given(tmp_path / "nothing", None, passes=1, start_ns=0))


def test_replay_empty_file_fails_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mcap").touch()
    assert main(["replay", str(tmp_path / "empty.mcap"), "--fast"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"glasses replay: {tmp_path}/empty.mcap holds no sensor entries: nothing to replay"
    ]


@pytest.mark.models
def test_replay_truncated_file_warns_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "torn.mcap"
    recording_of_the_demo(path, until_ms=1000, start_ns=0)
    path.write_bytes(path.read_bytes()[:-200])
    assert main(["replay", str(path), "--fast", "--no-voice", "--passes", "2"]) == 0
    assert "0 turns" in capsys.readouterr().out
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "torn.mcap was cut off; what came before is whole"
    ]


@pytest.mark.parametrize("wrong", ["speed=1", "when_ms", "when_ms=soon", "=3"])
def test_tolerances_invalid_option_raises(wrong: str) -> None:
    with pytest.raises(InputError, match="--tolerance"):
        tolerances([wrong])


def test_compare_gates_accepts_timed_out_of_older_recordings() -> None:
    """Older recordings call a turn that was not addressed timed out."""
    told, now = TurnSignal(TurnEvent.TIMED_OUT, 5 * S, 1), TurnSignal(TurnEvent.NOT_ADDRESSED, 5 * S, 1)
    assert [one.within for one in compare_gates([told], [now], Tolerances())] == [True]
    assert [one.within for one in compare_gates([now], [told], Tolerances())] == [False, False], "not the other way"
