"""The echo stage tells the suppressor when the speaker was left without samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.echo_stage import HOLES_HEARD_MS, EchoStage
from glasses.audio.echo_canceller import EchoSuppressor
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, AudioChunk


def test_echo_stage_underrun_is_told_for_as_long_as_its_hole_may_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[bool]()

    def clean(self: EchoSuppressor, chunk: AudioChunk, *, ran_dry: bool = False) -> AudioChunk:
        told.append(ran_dry)
        return chunk

    monkeypatch.setattr(EchoSuppressor, "clean", clean)
    reference = SimpleNamespace(take=list)
    speaker: Any = SimpleNamespace(rate_hz=SAMPLE_RATE_HZ, underruns=3, reference=reference)
    stage = EchoStage(lambda event: None)
    stage.use(speaker)  # what happened before is another stage's
    for t_ms, underruns in ((0, 3), (20, 4), (20 + HOLES_HEARD_MS - 1, 4), (20 + HOLES_HEARD_MS, 4)):
        speaker.underruns = underruns
        stage.take(AudioChunk(t_ms * NS_PER_MS, 0, np.zeros(320, np.int16), SAMPLE_RATE_HZ))
    assert told == [False, True, True, False]
