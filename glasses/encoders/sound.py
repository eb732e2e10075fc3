"""YAMNet on onnxruntime: sound in, latents of what it is out.

Whisper's latents know little of what is not speech; YAMNet was trained on AudioSet, on any sound. Its log-mel front
end is here too, in numpy. Formula and constants: tensorflow/models, research/audioset/yamnet, params.py and features.py
(25 ms periodic Hann windows every 10 ms, FFT of 512, magnitudes, 64 HTK mel bands of 125-7500 Hz as
tf.signal.linear_to_mel_weight_matrix makes them, log(x + 0.001), patches of 96 frames every 48).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from glasses.encoders.audio import MAX_S, MIN_SAMPLES
from glasses.encoders.mel import HOP
from glasses.errors import InputError, Reason
from glasses.model_store.onnx import open_session, space_of
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, Float32Array, Latents, frozen

WINDOW, N_FFT = 400, 512
MEL_BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 1e-3
PATCH_FRAMES, PATCH_HOP_FRAMES = 96, 48  # 0.96 s and 0.48 s
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP + WINDOW
PATCHES_AT_ONCE = 4  # bounds memory: one patch needs 1.2 MB of activations


@cache
def mel_filters() -> Float32Array:
    """The triangular filter bank, float32 (64, 257): triangles on the mel scale, nothing of the constant part."""
    bins = _mel(np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1))
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), MEL_BANDS + 2)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    triangles[:, 0] = 0
    return triangles.astype(np.float32)


def _mel(hz: np.ndarray | float) -> np.ndarray:
    """HTK's scale."""
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)


@cache
def _window() -> Float32Array:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)  # periodic Hann


def log_mel_patches(pcm: Float32Array) -> Float32Array:
    """float32 (N,) at 16 kHz -> (P, 1, 96, 64), one patch every 0.48 s; silence fills up the last one."""
    hop = PATCH_HOP_FRAMES * HOP
    n_patches = 1 + -(-max(0, len(pcm) - PATCH_SAMPLES) // hop)
    padded = np.pad(pcm, (0, PATCH_SAMPLES + (n_patches - 1) * hop - len(pcm)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    magnitude = np.abs(np.fft.rfft(frames * _window(), N_FFT, axis=1)).astype(np.float32)
    log = np.log(magnitude @ mel_filters().T + np.float32(LOG_OFFSET))
    return np.stack([log[i : i + PATCH_FRAMES] for i in range(0, n_patches * PATCH_HOP_FRAMES, PATCH_HOP_FRAMES)])[
        :, None
    ]


class SoundEncoder:
    """float32 sound at 16 kHz -> Latents (P, 1024) of modality "sound", P = one every 0.48 s, at least one."""

    def __init__(self, path: Path, *, n_threads: int = 2) -> None:
        self._session = open_session(path, n_threads=n_threads)
        self.space = space_of("yamnet", path)

    def encode(self, pcm: Float32Array, t_ns: int = 0) -> Latents:
        """Encodes up to 30 s. Raises InputError for a wrong type, nothing to hear or more than 30 s."""
        if pcm.ndim != 1 or pcm.dtype != np.float32 or not np.isfinite(pcm).all():
            raise InputError(Reason.BAD_INPUT, f"sound must be finite float32 (N,), got {pcm.dtype} {pcm.shape}")
        if not MIN_SAMPLES <= len(pcm) <= MAX_S * SAMPLE_RATE_HZ:
            reason = Reason.BAD_INPUT if len(pcm) < MIN_SAMPLES else Reason.TOO_LARGE
            raise InputError(
                reason, f"{len(pcm) / SAMPLE_RATE_HZ:.2f} s of sound in one window; 0.02 to {MAX_S} s can be encoded"
            )
        patches = log_mel_patches(pcm)
        batches = [patches[i : i + PATCHES_AT_ONCE] for i in range(0, len(patches), PATCHES_AT_ONCE)]
        latents = [np.asarray(self._session.run(["latents"], {"patches": batch})[0]) for batch in batches]
        return Latents(
            t_ns, len(pcm) * NS_PER_S // SAMPLE_RATE_HZ, "sound", frozen(np.concatenate(latents)), self.space
        )
