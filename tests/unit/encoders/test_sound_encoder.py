"""The sound encoder on its real weights: its front end, shapes, names of spaces, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.encoders.audio import MAX_S
from glasses.encoders.sound import (
    LOG_OFFSET,
    PATCH_SAMPLES,
    PATCHES_AT_ONCE,
    SoundEncoder,
    log_mel_patches,
    mel_filters,
)
from glasses.errors import InputError, Reason
from glasses.model_store import store
from glasses.types import SAMPLE_RATE_HZ, Float32Array

SOUNDS = Path(__file__).parents[3] / "models" / "eval" / "sounds"
HOP = 7680


@pytest.fixture(scope="module")
def encoder() -> SoundEncoder:
    return SoundEncoder(store.path_of("yamnet-int8"), n_threads=1)


def tone(hz: float, n: int) -> Float32Array:
    return np.sin(2 * np.pi * hz * np.arange(n) / SAMPLE_RATE_HZ).astype(np.float32)


def test_log_mel_patches_tone_is_loudest_in_the_band_around_it() -> None:
    # 64 bands on HTK's scale between 125 and 7500 Hz: band i is centred at the edge i + 1 of 66.
    mel = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    for band in (5, 30, 60):
        hz = 700 * np.expm1(mel[band + 1] / 1127)
        (patch,) = log_mel_patches(tone(hz, PATCH_SAMPLES))
        assert np.all(patch[0].argmax(axis=1) == band)


def test_log_mel_patches_silence_is_the_offset() -> None:
    """The filters reach from 125 to 7500 Hz."""
    assert np.allclose(log_mel_patches(np.zeros(SAMPLE_RATE_HZ, np.float32)), np.log(LOG_OFFSET))
    heard = np.flatnonzero(mel_filters().sum(axis=0)) * SAMPLE_RATE_HZ / 512
    assert heard.min() > 125
    assert 7400 < heard.max() < 7500


@pytest.mark.parametrize(
    ("n_samples", "n_patches"),
    [(320, 1), (PATCH_SAMPLES, 1), (PATCH_SAMPLES + 1, 2), (PATCH_SAMPLES + HOP, 2), (PATCH_SAMPLES + HOP + 1, 3)],
)
def test_log_mel_patches_short_clip_is_padded_and_no_sample_left_out(n_samples: int, n_patches: int) -> None:
    pcm = np.zeros(n_samples, np.float32)
    pcm[-1] = 1.0  # a click on the last sample changes the last patch
    patches = log_mel_patches(pcm)
    assert patches.shape == (n_patches, 1, 96, 64)
    assert patches[-1].max() > np.log(LOG_OFFSET) or n_samples % 160 == 80  # the Hann window's first sample is zero


def test_sound_encoder_latents_have_the_promised_shape_and_space(encoder: SoundEncoder) -> None:
    pcm = read_audio(SOUNDS / "dog-0.ogg")
    latents = encoder.encode(pcm, t_ns=7)
    assert latents.data.shape == (len(log_mel_patches(pcm)), 1024)
    assert latents.data.dtype == np.float32
    assert not latents.data.flags.writeable
    assert (latents.t_ns, latents.modality) == (7, "sound")
    assert latents.duration_ns == len(pcm) * 1_000_000_000 // SAMPLE_RATE_HZ
    sha256 = store.load_manifest("yamnet-int8").files[0].sha256
    assert latents.space == f"yamnet:{sha256[:16]}"


def test_sound_encoder_batches_of_patches_do_not_change_the_latents(encoder: SoundEncoder) -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, PATCH_SAMPLES + PATCHES_AT_ONCE * HOP).astype(np.float32)
    whole = encoder.encode(pcm).data
    assert len(whole) == PATCHES_AT_ONCE + 1
    assert np.allclose(whole[-1], encoder.encode(pcm[-PATCH_SAMPLES:]).data[0], atol=1e-4)


def test_sound_encoder_two_dogs_are_more_alike_than_a_dog_and_a_bell(encoder: SoundEncoder) -> None:
    dog, other_dog, bell = (
        encoder.encode(read_audio(SOUNDS / f"{name}.ogg")).data.mean(axis=0) for name in ("dog-0", "dog-1", "bell-0")
    )

    def cosine(a: Float32Array, b: Float32Array) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(dog, other_dog) > cosine(dog, bell) + 0.1


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        (np.zeros(100, np.float32), Reason.BAD_INPUT),
        (np.zeros(SAMPLE_RATE_HZ, np.int16), Reason.BAD_INPUT),
        (np.zeros((SAMPLE_RATE_HZ, 2), np.float32), Reason.BAD_INPUT),
        (np.full(SAMPLE_RATE_HZ, np.nan, np.float32), Reason.BAD_INPUT),
        (np.zeros(MAX_S * SAMPLE_RATE_HZ + 1, np.float32), Reason.TOO_LARGE),
    ],
)
def test_sound_encoder_input_that_is_no_sound_is_refused(
    encoder: SoundEncoder, pcm: Float32Array, reason: Reason
) -> None:
    with pytest.raises(InputError) as caught:
        encoder.encode(pcm)
    assert caught.value.reason is reason
