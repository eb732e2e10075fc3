"""What the view filter costs and saves: of the views that a wearer rests on, how many are remembered?

The input is simulated from the held-out photographs: the head rests on each for a time drawn between half a second and
half a minute and sways meanwhile (a window of nine tenths of the picture wanders), the sensor adds noise and the
exposure drifts. There is no motion blur and no movement in the picture. In each view a sound begins at a random moment;
one filter is told of it, as `memory/writer.py` does, the other is not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from glasses.devices.camera import FPS
from glasses.evaluation.pictures import read_pictures
from glasses.evaluation.progress import Tick
from glasses.memory.sound_segmenter import BLOCK_MS
from glasses.memory.view_filter import NEAR_S, ViewFilter
from glasses.types import NS_PER_S, UInt8Array

STAYS_S = (0.5, 30.0)
_WINDOW = 0.9  # of the picture's sides
_STEP = 0.01  # of them, standard deviation of the sway from picture to picture
_NOISE, _DRIFT = 4.0, 2.0  # of 255
_SIZE = (480, 640)


def run(*, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Views kept, by how long they were looked at; pictures encoded a minute, with a filter and without; and for how
    many sounds each filter kept a picture of the view they began in, within NEAR_S of the beginning.
    """
    rng, sounds_rng = np.random.default_rng(0), np.random.default_rng(1)
    filters, n_encoded, n_shown = (ViewFilter(), ViewFilter()), [0, 0], [0, 0]  # without and with sounds
    kept: dict[str, list[bool]] = {"under 2 s": [], "2 to 5 s": [], "over 5 s": []}
    t_ns = n_pictures = 0
    for n_views, picture in enumerate(read_pictures()):
        tick("views", n_views, None)
        stay_s = float(np.exp(rng.uniform(*np.log(STAYS_S))))
        sound_ns, is_told = t_ns + round(sounds_rng.uniform(0, stay_s) * NS_PER_S), False
        kept_ns: tuple[list[int], list[int]] = ([], [])
        for rgb in _swaying(picture.rgb, round(stay_s * FPS) or 1, rng):
            if not is_told and t_ns >= sound_ns + BLOCK_MS * NS_PER_S // 1000:  # it is known no sooner
                filters[1].sound_began(sound_ns)
                is_told = True
            for one, times_ns in zip(filters, kept_ns, strict=True):
                if one.is_new(rgb, t_ns):
                    times_ns.append(t_ns)
            t_ns += round(NS_PER_S / FPS)
            n_pictures += 1
        for i, times_ns in enumerate(kept_ns):
            n_encoded[i] += len(times_ns)
            n_shown[i] += any(abs(t - sound_ns) <= NEAR_S * NS_PER_S for t in times_ns)
        kept["under 2 s" if stay_s < 2 else "2 to 5 s" if stay_s < 5 else "over 5 s"].append(bool(kept_ns[0]))
    minutes, n_views = t_ns / NS_PER_S / 60, sum(map(len, kept.values()))
    return {
        "views_kept": {how_long: [sum(each), len(each)] for how_long, each in kept.items()},
        "encoded_a_minute": round(n_encoded[0] / minutes, 1),
        "seen_a_minute": round(n_pictures / minutes, 1),
        "sounds": {"shown": n_shown[1], "shown_deaf": n_shown[0], "of": n_views},
        "sounds_a_minute": round(n_views / minutes, 1),
        "encoded_a_minute_with_sounds": round(n_encoded[1] / minutes, 1),
    }


def report(figures: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"{'views of ' + how_long:>28}  {n} of {of} kept" for how_long, (n, of) in figures["views_kept"].items()]
    sounds = figures["sounds"]
    shown = f"{sounds['shown']} of {sounds['of']} with a picture, {sounds['shown_deaf']} by a filter without sounds"
    a_minute = f"{figures['encoded_a_minute']} of {figures['seen_a_minute']} pictures a minute are encoded"
    cost = f"{figures['encoded_a_minute_with_sounds']} with {figures['sounds_a_minute']} sounds a minute"
    return "\n".join([*lines, f"{'sounds that begin':>28}  {shown}", f"{a_minute}, {cost}"])


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
