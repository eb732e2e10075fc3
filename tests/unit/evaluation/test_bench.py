"""What the benches compute: waits from a tape, where a wait was spent, and which sound is heard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from glasses.__main__ import main
from glasses.audio.sound_files import read_audio
from glasses.errors import InputError
from glasses.evaluation.bench import follow_ups
from glasses.evaluation.bench.false_wakes import STRETCH_S, TurnCounter, mixed, unlearned
from glasses.evaluation.bench.figures_text import report
from glasses.evaluation.bench.soak import in_use_mb, slope_an_hour
from glasses.evaluation.bench.turn_times import (
    acoustic_waits_ms,
    early_share,
    median_waterfall_ms,
    waterfall_ms,
)
from glasses.events import Draft, Reply, TurnCompleted, TurnSpan, Work
from glasses.runtime.bundle import open_bundle
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, Turn
from glasses.wake_word_training.train import sound_files

EVAL = Path(__file__).parents[3] / "models" / "eval"


def tape(asked_ms: list[tuple[int, int]], said_ms: list[tuple[int, int]], seconds: float) -> np.ndarray:
    out = np.zeros((int(seconds * SAMPLE_RATE_HZ), 2), np.int16)
    for channel, spans in enumerate((asked_ms, said_ms)):
        for first, after in spans:
            out[first * 16 : after * 16, channel] = 8000
    return out


def test_acoustic_waits_run_from_the_end_of_a_question_to_the_next_sound() -> None:
    sound = tape([(500, 2000), (6000, 7500), (11_000, 12_000)], [(2300, 4000), (8000, 9000)], 16)
    waits = acoustic_waits_ms(sound, 3)
    assert waits[:2] == [pytest.approx(300, abs=0.2), pytest.approx(500, abs=0.2)]
    assert waits[2] is None  # nobody answered


def test_acoustic_waits_of_a_silent_tape_are_none() -> None:
    assert acoustic_waits_ms(tape([(500, 900)], [(1000, 1100)], 2), 1) == [pytest.approx(100, abs=0.2)]
    assert acoustic_waits_ms(tape([], [], 2), 4) == [None] * 4


def reply() -> Reply:
    """Spoken until 1000 ms, decided at 1200, heard at 1500; encoded before and after the end, written after."""
    turn = Turn(1, 0, "speech", ())
    said = Reply(Draft(turn, np.zeros((1, 4), np.float32), True, True, False, (0, 0)), 1)
    said.ended = TurnCompleted(
        turn, TurnSpan(0, False, (0, 1000 * NS_PER_MS), 1190 * NS_PER_MS), None, 1200 * NS_PER_MS
    )
    said.audible_ns = 1500 * NS_PER_MS
    said.work = [
        Work(1, 1, "encode", 900 * NS_PER_MS, 1000 * NS_PER_MS),
        Work(1, 2, "encode", 1100 * NS_PER_MS, 1250 * NS_PER_MS),
        Work(1, 2, "write", 1240 * NS_PER_MS, 1400 * NS_PER_MS),
        Work(1, 2, "voice", 1600 * NS_PER_MS, 1700 * NS_PER_MS),  # of a later clause
    ]
    return said


def test_waterfall_shows_where_the_wait_was_spent() -> None:
    assert waterfall_ms(reply()) == {"silence": 200.0, "encode": 50.0, "write": 160.0, "other": 100.0}
    assert early_share(reply()) == pytest.approx(100 / 410)
    unheard = reply()
    unheard.audible_ns = None
    assert waterfall_ms(unheard) == {}
    assert early_share(unheard) == 0.0


def test_median_waterfall_turn_without_a_stage_counts_as_none_of_it() -> None:
    assert median_waterfall_ms([{"silence": 1.0}, {"silence": 2.0, "write": 9.0}, {"silence": 6.0}]) == {
        "silence": 2.0,
        "write": 0.0,
    }


def test_slope_an_hour_ignores_a_single_late_page() -> None:
    """in_use_mb ignores memory that was freed again."""
    assert slope_an_hour([100 + i / 60 for i in range(24)]) == pytest.approx(1.0)
    assert slope_an_hour([100.0] * 12 + [101.0] + [100.0] * 11) == 0.0
    before_mb = in_use_mb()
    held = np.ones(5_000_000)
    assert 39 < in_use_mb() - before_mb < 42 or before_mb == 0
    del held
    assert abs(in_use_mb() - before_mb) < 1


def tones(folder: Path, first_hz: int, n: int, seconds: float) -> list[Path]:
    """`n` sound files, each a tone of its own."""
    folder.mkdir()
    t = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    for i in range(n):
        soundfile.write(folder / f"{i:02d}.wav", 0.5 * np.sin(2 * np.pi * (first_hz + 100 * i) * t), SAMPLE_RATE_HZ)
    return sorted(folder.iterdir())


def test_mixed_plays_each_sound_once_alone_in_noise_or_over_another(tmp_path: Path) -> None:
    files = tones(tmp_path / "tones", 200, 40, 1)
    (tmp_path / "again").mkdir()
    again = [Path(shutil.copy(files[3], tmp_path / "again"))]  # the same sound in another package
    heard = list(mixed({"tones": files, "again": again}))
    strongest = [int(np.abs(np.fft.rfft(stretch.pcm)).argmax()) for stretch in heard]
    assert len(set(strongest)) == len(heard) < 40  # some lie beneath others
    assert all(0.05 < np.abs(stretch.pcm).max() < 0.95 for stretch in heard)


def test_mixed_kinds_have_equal_shares_and_long_files_play_to_their_end(
    tmp_path: Path,
) -> None:
    """Shares are equal while each kind lasts."""
    kinds = {"long": tones(tmp_path / "long", 200, 2, 150), "short": tones(tmp_path / "short", 1000, 100, 2)}
    heard_s = {"long": 0.0, "short": 0.0}
    for stretch in mixed(kinds):
        assert len(stretch.pcm) <= STRETCH_S * SAMPLE_RATE_HZ
        heard_s[stretch.kind] += len(stretch.pcm) / SAMPLE_RATE_HZ
        if sum(heard_s.values()) > 200:
            break
    assert abs(heard_s["long"] - heard_s["short"]) < 1.5 * STRETCH_S


def test_unlearned_leaves_out_training_sounds_whatever_their_name(tmp_path: Path) -> None:
    files = tones(tmp_path / "others", 200, 20, 0.1)
    learned = set(sound_files([tmp_path / "others"], learn=True))
    (tmp_path / "test").mkdir()
    for i, path in enumerate(files):
        shutil.copy(path, tmp_path / "test" / f"renamed-{i:02d}.wav")
    taught = tmp_path / "wake.json"
    with pytest.raises(InputError):
        unlearned([tmp_path / "test"], taught)
    for learned_from, n_left in (([], 20), ([str(tmp_path / "others")], 20 - len(learned))):
        taught.write_text(json.dumps({"learned_from": learned_from}))
        assert len(unlearned([tmp_path / "test"], taught)["test"]) == n_left
    shutil.rmtree(tmp_path / "others")
    with pytest.raises(InputError):
        unlearned([tmp_path / "test"], taught)


@pytest.mark.models
def test_turn_counter_fewer_turns_for_other_sounds_and_none_for_a_tone() -> None:
    """Speech opens more turns than sounds that ask for nothing."""
    said = np.concatenate([read_audio(EVAL / "speech" / f"question-{i:03d}.ogg") for i in (90, 91)])
    loaded = open_bundle(n_threads=1)
    speech, request = (TurnCounter(loaded, how) for how in ("speech", "request"))
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    assert speech.turns(tone) == request.turns(tone) == 0
    assert 1 <= request.turns(said) <= speech.turns(said)
    loaded.close()


@pytest.mark.slow
@pytest.mark.models
def test_bench_follow_ups_short_version_keeps_its_bounds() -> None:
    """Twenty seconds of each programme, and three follow-ups of each voice."""
    figures = follow_ups.run("pocket", 1 / 3, n_turns=3)
    assert figures["over"] == []
    assert set(figures["television"]) == {"talk", "news", "music beside"}
    assert figures["of_all_voices"]["somebody_else_as_near"] <= 0.34  # 4 of 12


def test_bench_false_wakes_without_sounds_says_which_option_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "false-wakes"]) == 2
    assert "--sounds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("latency", "turns"),
        ("false-wakes", "hours"),
        ("soak", "minutes"),
        ("memory-recall", "clips"),
        ("follow-ups", "minutes"),
    ],
)
def test_bench_amount_not_above_zero_is_refused(name: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    for amount in ("0", "-1"):
        assert main(["bench", name, f"--{what}", amount]) == 2
        assert f"--{what} {float(amount) if what in ('hours', 'minutes') else amount}" in capsys.readouterr().err


def test_report_nested_figures_are_lines_of_their_own() -> None:
    lines = report({"load_average": 0.2, "latents": {"wait_ms": {"p50": 297}, "answered": "49 of 50"}}).splitlines()
    assert [line.split() for line in lines] == [
        ["load", "average", "0.2"],
        ["latents:"],
        ["wait", "ms:"],
        ["p50", "297"],
        ["answered", "49", "of", "50"],
    ]
    assert len({line.index(figure) for line, figure in ((lines[0], "0.2"), (lines[3], "297"), (lines[4], "49"))}) == 1
