"""What the benches make of their measurements: waits off a tape, where a wait went, which sound is heard. No models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from glasses.__main__ import main
from glasses.bench.addressed import mixed
from glasses.bench.turn_times import (
    RATE_HZ,
    acoustic_waits_ms,
    early_share,
    median_waterfall_ms,
    waterfall_ms,
)
from glasses.gates.turns import Span
from glasses.reply import Reply, Work
from glasses.signals import Draft, Ended
from glasses.types import Turn

MS = 1_000_000


def tape(asked_ms: list[tuple[int, int]], said_ms: list[tuple[int, int]], seconds: float) -> np.ndarray:
    out = np.zeros((int(seconds * RATE_HZ), 2), np.int16)
    for channel, spans in enumerate((asked_ms, said_ms)):
        for first, after in spans:
            out[first * 16 : after * 16, channel] = 8000
    return out


def test_a_wait_is_from_the_end_of_a_question_to_the_next_sound_on_the_speaker() -> None:
    sound = tape([(500, 2000), (6000, 7500), (11_000, 12_000)], [(2300, 4000), (8000, 9000)], 16)
    waits = acoustic_waits_ms(sound, 3)
    assert waits[:2] == [pytest.approx(300, abs=0.2), pytest.approx(500, abs=0.2)]
    assert waits[2] is None  # nobody answered


def test_one_question_and_a_silent_tape() -> None:
    assert acoustic_waits_ms(tape([(500, 900)], [(1000, 1100)], 2), 1) == [pytest.approx(100, abs=0.2)]
    assert acoustic_waits_ms(tape([], [], 2), 4) == [None] * 4


def reply() -> Reply:
    """Spoken until 1000 ms, decided at 1200, heard at 1500; encoded before and after the end, written after."""
    turn = Turn(1, 0, "speech", ())
    said = Reply(Draft(turn, np.zeros((1, 4), np.float32), True, False, (0, 0)), 1)
    said.ended = Ended(turn, Span(0, False, (0, 1000 * MS), 1190 * MS), None, 1200 * MS)
    said.audible_ns = 1500 * MS
    said.work = [
        Work(1, 1, "encode", 900 * MS, 1000 * MS),
        Work(1, 2, "encode", 1100 * MS, 1250 * MS),
        Work(1, 2, "write", 1240 * MS, 1400 * MS),
        Work(1, 2, "voice", 1600 * MS, 1700 * MS),  # of a later clause
    ]
    return said


def test_where_the_wait_went() -> None:
    assert waterfall_ms(reply()) == {"silence": 200.0, "encode": 50.0, "write": 160.0, "other": 100.0}
    assert early_share(reply()) == pytest.approx(100 / 410)
    unheard = reply()
    unheard.audible_ns = None
    assert waterfall_ms(unheard) == {}
    assert early_share(unheard) == 0.0


def test_a_turn_without_a_stage_counts_as_none_of_it() -> None:
    assert median_waterfall_ms([{"silence": 1.0}, {"silence": 2.0, "write": 9.0}, {"silence": 6.0}]) == {
        "silence": 2.0,
        "write": 0.0,
    }


def test_each_sound_is_heard_once_alone_in_noise_or_on_top_of_another(tmp_path: Path) -> None:
    files = []
    for i in range(40):  # each a tone of its own
        t = np.arange(RATE_HZ) / RATE_HZ
        files.append(tmp_path / f"{i}.wav")
        soundfile.write(files[-1], 0.5 * np.sin(2 * np.pi * (200 + 100 * i) * t), RATE_HZ)
    clips = list(mixed(files))
    strongest = [int(np.abs(np.fft.rfft(clip)).argmax()) for clip in clips]
    assert len(set(strongest)) == len(clips) < 40  # some lie beneath others
    assert all(0.05 < np.abs(clip).max() < 0.95 for clip in clips)


def test_what_must_not_wake_it_has_to_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "addressed"]) == 2
    assert "--sounds" in capsys.readouterr().err
