"""Whisper's encoder on onnxruntime: sound in, pre-connector latents out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.encoders.mel import HOP, log_mel
from glasses.errors import InputError, Reason
from glasses.model_store.onnx import open_session, space_of
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, Float32Array, Latents, frozen

MAX_S = 30  # Whisper's position table ends here
MIN_SAMPLES = 2 * HOP  # one latent
LATENTS_PER_S = 50


def windows(pcm: Float32Array, *, max_s: float = MAX_S) -> list[Float32Array]:
    """Cuts sound into windows of at most `max_s`, each cut at the quietest 20 ms of the last third of a window."""
    out, limit = [], int(max_s * SAMPLE_RATE_HZ)
    while len(pcm) > limit:
        tail = pcm[limit * 2 // 3 : limit]
        energy = (tail[: len(tail) // MIN_SAMPLES * MIN_SAMPLES].reshape(-1, MIN_SAMPLES) ** 2).sum(axis=1)
        cut = limit * 2 // 3 + int(energy.argmin()) * MIN_SAMPLES
        out.append(pcm[:cut])
        pcm = pcm[cut:]
    return [*out, pcm] if len(pcm) >= MIN_SAMPLES or not out else out


class AudioEncoder:
    """float32 sound at 16 kHz -> Latents (T, 768), T = 50 a second: final state beside the mean of earlier ones."""

    def __init__(self, path: Path, *, n_threads: int = 2) -> None:
        self._session = open_session(path, n_threads=n_threads)
        self.space = space_of("whisper-tiny-en", path)

    def encode(self, pcm: Float32Array, t_ns: int = 0) -> Latents:
        """Encodes up to 30 s. Raises InputError for a wrong type, nothing to hear or more than 30 s."""
        if pcm.ndim != 1 or pcm.dtype != np.float32 or not np.isfinite(pcm).all():
            raise InputError(Reason.BAD_INPUT, f"sound must be finite float32 (N,), got {pcm.dtype} {pcm.shape}")
        if len(pcm) < MIN_SAMPLES:
            raise InputError(Reason.BAD_INPUT, f"sound of {len(pcm)} samples is shorter than one latent (20 ms)")
        if len(pcm) > MAX_S * SAMPLE_RATE_HZ:
            raise InputError(
                Reason.TOO_LARGE, f"{len(pcm) / SAMPLE_RATE_HZ:.1f} s of sound in one window; at most {MAX_S} s"
            )
        mel = log_mel(pcm[: len(pcm) // MIN_SAMPLES * MIN_SAMPLES])
        (latents,) = self._session.run(None, {"mel": mel[None]})
        data = frozen(np.ascontiguousarray(np.asarray(latents)[0]))
        return Latents(t_ns, len(pcm) * NS_PER_S // SAMPLE_RATE_HZ, "audio", data, self.space)
