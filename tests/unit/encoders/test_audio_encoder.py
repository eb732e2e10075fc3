"""The audio encoder on its real weights: shapes, names of spaces, windows, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.encoders.audio import MAX_S, AudioEncoder, windows
from glasses.errors import InputError, ModelError, Reason
from glasses.model_store import store
from glasses.types import SAMPLE_RATE_HZ

CLIP = Path(__file__).parents[3] / "models" / "eval" / "speech" / "question-090.ogg"


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1)


def test_audio_encoder_latents_have_the_promised_shape_and_space(encoder: AudioEncoder) -> None:
    pcm = read_audio(CLIP)
    latents = encoder.encode(pcm, t_ns=7)
    assert latents.data.shape == (len(pcm) // 320, 768)
    assert latents.data.dtype == np.float32
    assert not latents.data.flags.writeable
    assert (latents.t_ns, latents.modality) == (7, "audio")
    assert latents.duration_ns == len(pcm) * 1_000_000_000 // SAMPLE_RATE_HZ
    sha256 = store.load_manifest("whisper-tiny-en-encoder-int8").files[0].sha256
    assert latents.space == f"whisper-tiny-en:{sha256[:16]}"


def test_audio_encoder_other_sounds_give_other_latents(encoder: AudioEncoder) -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    noise = (0.3 * rng.standard_normal(SAMPLE_RATE_HZ)).astype(np.float32)
    a, b = encoder.encode(tone).data.mean(0), encoder.encode(noise).data.mean(0)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) < 0.95


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        (np.zeros(100, np.float32), Reason.BAD_INPUT),
        (np.zeros((2, 16000), np.float32), Reason.BAD_INPUT),
        (np.zeros(16000, np.int16), Reason.BAD_INPUT),
        (np.full(16000, np.nan, np.float32), Reason.BAD_INPUT),
        (np.zeros((MAX_S + 1) * SAMPLE_RATE_HZ, np.float32), Reason.TOO_LARGE),
    ],
)
def test_audio_encoder_input_that_is_no_sound_is_refused(
    encoder: AudioEncoder, pcm: np.ndarray, reason: Reason
) -> None:
    with pytest.raises(InputError) as caught:
        encoder.encode(pcm)
    assert caught.value.reason is reason


def test_audio_encoder_damaged_model_file_is_named_in_the_error(tmp_path: Path) -> None:
    broken = tmp_path / "encoder.onnx"
    broken.write_bytes(store.path_of("whisper-tiny-en-encoder-int8").read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"encoder\.onnx") as caught:
        AudioEncoder(broken)
    assert caught.value.reason is Reason.CORRUPT


def test_windows_long_sound_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    rng = np.random.default_rng(0)
    pcm = rng.standard_normal(75 * SAMPLE_RATE_HZ).astype(np.float32)
    pauses_s = (25, 50)
    for second in pauses_s:
        pcm[second * SAMPLE_RATE_HZ : second * SAMPLE_RATE_HZ + 1600] = 0
    cut = windows(pcm)
    assert np.array_equal(np.concatenate(cut), pcm)
    assert all(len(window) <= MAX_S * SAMPLE_RATE_HZ for window in cut)
    ends_s = np.cumsum([len(window) for window in cut])[:-1] / SAMPLE_RATE_HZ
    assert all(any(abs(end - pause) < 0.15 for pause in pauses_s) for end in ends_s)
