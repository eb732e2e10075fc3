"""Whose voice follows up: by similarity and level against the activated turn; by the head where no voice is known."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.assistant.follow_ups import MOST, MOST_UNKNOWN, EncodeVoice, FollowUpJudge
from glasses.types import SAMPLE_RATE_HZ, Float32Array, Latents

SPEECH = Latents(0, 1, "audio", np.zeros((1, 4), np.float32), "audio:0")


def hum(hz: float, level: float = 0.1) -> Float32Array:
    return (level * np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)).astype(np.float32)


def pitch(pcm: Float32Array) -> Float32Array:
    """A voice is its pitch: 100 Hz and 200 Hz have nothing in common."""
    return np.eye(2, dtype=np.float32)[int(np.argmax(np.abs(np.fft.rfft(pcm))) >= 150)]


def test_judge_takes_the_voice_of_the_activated_turn_alone() -> None:
    judge = FollowUpJudge(pitch)
    judge.remember(hum(100))
    assert judge.is_wearer(hum(100), SPEECH)
    assert not judge.is_wearer(hum(200), SPEECH)
    assert judge.most == MOST


def test_judge_much_quieter_voice_is_not_the_wearer() -> None:
    judge = FollowUpJudge(pitch)
    judge.remember(hum(100))
    assert judge.is_wearer(hum(100, 0.05), SPEECH)
    assert not judge.is_wearer(hum(100, 0.02), SPEECH)


def test_judge_too_little_voice_is_nobodys() -> None:
    judge = FollowUpJudge(lambda pcm: None if len(pcm) < SAMPLE_RATE_HZ else pitch(pcm))
    judge.remember(hum(100))
    assert not judge.is_wearer(hum(100)[:3000], SPEECH)


@pytest.mark.parametrize("encode", [None, pitch])
def test_judge_without_a_known_voice_asks_the_addressee_head(encode: EncodeVoice | None) -> None:
    for probability, taken in ((0.9, True), (0.1, False)):
        judge = FollowUpJudge(encode, lambda latents, p=probability: p)
        assert judge.is_wearer(hum(100), SPEECH) is taken
        assert judge.most == MOST_UNKNOWN
    nobody = FollowUpJudge(None)
    assert not nobody.is_wearer(hum(100), SPEECH)
    assert nobody.most == 0


def test_judge_activation_forgets_the_voice() -> None:
    judge = FollowUpJudge(pitch, lambda latents: 0.0)
    judge.remember(hum(100))
    judge.forget()
    assert judge.similarity(hum(100)) is None
