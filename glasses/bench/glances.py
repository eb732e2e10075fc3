"""What the camera's gate costs and saves: of views that a wearer rests on, how many are remembered? Knows no encoder.

The held-out photographs, one after the other, as a head sees them: it stays for a time drawn between half a second and
half a minute, sways while it does (a window of nine tenths of the picture wanders), the sensor adds noise and the
exposure drifts. Made up from stills, so without motion blur and without movement in the picture.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from glasses.evals.pictures import read_pictures
from glasses.gates.view import ViewGate
from glasses.sensors.camera import FPS
from glasses.types import UInt8Array

STAYS_S = (0.5, 30.0)
_WINDOW = 0.9  # of the picture's sides
_STEP = 0.01  # of them, standard deviation of the sway from picture to picture
_NOISE, _DRIFT = 4.0, 2.0  # of 255
_SIZE = (480, 640)
_S = 1_000_000_000


def run() -> dict[str, Any]:
    """Share of views kept, by how long they were looked at; pictures encoded a minute, with the gate and without."""
    rng, gate = np.random.default_rng(0), ViewGate()
    kept: dict[str, list[bool]] = {"under 2 s": [], "2 to 5 s": [], "over 5 s": []}
    t_ns = n_encoded = n_pictures = 0
    for picture in read_pictures():
        stay_s = float(np.exp(rng.uniform(*np.log(STAYS_S))))
        kept_here = 0
        for rgb in _swaying(picture.rgb, round(stay_s * FPS) or 1, rng):
            kept_here += gate.is_new(rgb, t_ns)
            t_ns += round(_S / FPS)
            n_pictures += 1
        n_encoded += kept_here
        kept["under 2 s" if stay_s < 2 else "2 to 5 s" if stay_s < 5 else "over 5 s"].append(kept_here > 0)
    minutes = t_ns / _S / 60
    return {
        "views_kept": {how_long: [sum(each), len(each)] for how_long, each in kept.items()},
        "encoded_a_minute": round(n_encoded / minutes, 1),
        "seen_a_minute": round(n_pictures / minutes, 1),
    }


def report(figures: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"{'views of ' + how_long:>28}  {n} of {of} kept" for how_long, (n, of) in figures["views_kept"].items()]
    a_minute = f"{figures['encoded_a_minute']} of {figures['seen_a_minute']} pictures a minute are encoded"
    return "\n".join([*lines, a_minute])


def _swaying(rgb: UInt8Array, n: int, rng: np.random.Generator):
    height, width = rgb.shape[:2]
    at, light = np.array([0.5, 0.5]), 0.0
    for _ in range(n):
        at = np.clip(at + rng.normal(0, _STEP / (1 - _WINDOW), 2), 0, 1)
        light += rng.normal(0, _DRIFT)
        top, left = (at * (1 - _WINDOW) * (height, width)).astype(int)
        window = rgb[top : top + int(_WINDOW * height), left : left + int(_WINDOW * width)]
        seen = cv2.resize(window, _SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        yield np.clip(seen + light + rng.normal(0, _NOISE, (*_SIZE, 1)), 0, 255).astype(np.uint8)
