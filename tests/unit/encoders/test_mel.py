"""The log-mel front end, compared with transformers' WhisperFeatureExtractor on one second of tests/data/mel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.encoders.mel import HOP, N_MELS, log_mel, mel_filters
from glasses.types import SAMPLE_RATE_HZ

REFERENCE = Path(__file__).parents[2] / "data" / "mel" / "whisper_reference.npz"


def test_log_mel_equals_the_reference_implementation() -> None:
    with np.load(REFERENCE) as reference:
        ours = log_mel(reference["pcm"].astype(np.float32) / 32768)
        assert ours.shape == reference["mel"].shape == (N_MELS, SAMPLE_RATE_HZ // HOP)
        assert np.abs(ours - reference["mel"]).max() < 1e-4


def test_log_mel_tone_lands_in_its_own_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    loudest = int(log_mel(tone).mean(axis=1).argmax())
    centre_bin = int(mel_filters()[loudest].argmax())
    assert abs(centre_bin * SAMPLE_RATE_HZ / 400 - 1000) < 60


def test_log_mel_silence_is_finite_and_flat() -> None:
    mel = log_mel(np.zeros(SAMPLE_RATE_HZ, np.float32))
    assert np.isfinite(mel).all()
    assert np.ptp(mel) == 0
