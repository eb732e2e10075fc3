"""Long pauses go, whatever happens in a sound stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.audio.pauses import without_long_pauses
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.model_store import store
from glasses.types import SAMPLE_RATE_HZ, Float32Array

EVAL = Path(__file__).parents[3] / "models" / "eval"

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def vad() -> Vad:
    return Vad(store.path_of("silero-vad-16k"))


@pytest.fixture(scope="module")
def said() -> Float32Array:
    return read_audio(EVAL / "speech" / "question-090.ogg")


def noise(seconds: float, dbfs: float) -> Float32Array:
    samples = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def sound(name: str) -> Float32Array:
    return read_audio(EVAL / "sounds" / f"{name}.ogg")


@pytest.mark.parametrize("dbfs", [-200, -70, -50, -40])
@pytest.mark.parametrize(("before", "after"), [(13, 0), (0, 20), (25, 25)])
def test_without_long_pauses_silence_around_speech_goes(
    vad: Vad, said: Float32Array, before: float, after: float, dbfs: float
) -> None:
    cut = without_long_pauses(np.concatenate([noise(before, dbfs), said, noise(after, dbfs)]), vad)
    assert 0.7 * len(said) < len(cut) < len(said) + SAMPLE_RATE_HZ


def test_without_long_pauses_pause_within_speech_becomes_short(vad: Vad, said: Float32Array) -> None:
    middle = round(1.53 * SAMPLE_RATE_HZ)
    cut = without_long_pauses(np.concatenate([said[:middle], noise(4, -70), said[middle:]]), vad)
    assert len(cut) < len(said) + 1.5 * SAMPLE_RATE_HZ


def test_without_long_pauses_sound_without_pauses_is_the_same_array(vad: Vad, said: Float32Array) -> None:
    for pcm in (said, said[:5000], sound("rain-0"), sound("violin-0"), noise(20, -30)):
        assert without_long_pauses(pcm, vad) is pcm


def test_without_long_pauses_bark_in_a_long_pause_stays(vad: Vad, said: Float32Array) -> None:
    dog = sound("dog-0")
    cut = without_long_pauses(np.concatenate([said, noise(10, -70), dog, noise(10, -70), said]), vad)
    assert len(cut) < 2 * len(said) + len(dog) + 4 * SAMPLE_RATE_HZ
    loud = np.abs(dog) > 0.5 * np.abs(dog).max()
    pattern = dog[loud.argmax() : loud.argmax() + 800]
    assert np.abs(np.correlate(cut, pattern)).max() == pytest.approx(float(pattern @ pattern), rel=0.01)


def test_without_long_pauses_nothing_at_all_leaves_a_little(vad: Vad) -> None:
    assert 0 < len(without_long_pauses(np.zeros(60 * SAMPLE_RATE_HZ, np.float32), vad)) < 6 * SAMPLE_RATE_HZ
