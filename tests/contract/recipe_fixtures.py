"""A small connector of the sound recipe and synthetic clips to train it on. Needs torch."""

from __future__ import annotations

import numpy as np

from models.recipes.sound_model import N_AIR, N_EMBD, N_NAME, SoundConnector
from models.recipes.sound_units import Pooled

NAMES = ["dog", "noise", "woman whispered"]
WIDTH, RANK = 12, 4


def connector() -> SoundConnector:
    """A connector that is the same every time; its rows have about the norm of token rows."""
    rng, n = np.random.default_rng(0), len(NAMES)
    shapes = {
        "shift": (WIDTH,),
        "weights": (WIDTH, n),
        "bias": (n,),
        "names": (n, N_NAME * N_EMBD),
        "frame": (6, N_EMBD),
        "squeeze": (WIDTH, RANK),
        "expand": (RANK, N_AIR * N_EMBD),
    }
    start = {name: 0.1 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return SoundConnector({**start, "scale": np.ones(WIDTH, np.float32), "sharpness": np.ones(1, np.float32)})


def clips() -> Pooled:
    """Nine clips of three classes."""
    kinds = np.arange(9) % 3
    latents = np.random.default_rng(1).standard_normal((9, WIDTH)).astype(np.float32) + 2 * np.eye(3, WIDTH)[kinds]
    return Pooled("audio", latents.astype(np.float32), kinds, np.zeros(9, np.int64), NAMES)
