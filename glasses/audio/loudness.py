"""Whether a stretch of sound is loud enough to be about anything."""

from __future__ import annotations

import numpy as np

from glasses.types import Float32Array

AUDIBLE_DBFS = -45.0  # RMS; a quiet room's microphone lies near -60, talk across a table near -30
_BLOCK = 1600  # 100 ms at 16 kHz: shorter is a click of the touch itself


def is_audible(pcm: Float32Array) -> bool:
    """Whether the loudest 100 ms of (N,) sound at 16 kHz reach AUDIBLE_DBFS. False for less than 100 ms.

    An absolute level on purpose: one above the surroundings would never let steady rain through.
    """
    blocks = pcm[: len(pcm) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    loudest = float((blocks**2).mean(axis=1).max(initial=0.0))
    return 10 * np.log10(max(loudest, 1e-12)) >= AUDIBLE_DBFS
