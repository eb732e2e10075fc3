"""Makes the cat of glasses/tools/sounds, for which no recording under a permissive licence was found.

A voice is a sum of harmonics of a gliding pitch, shaped by three formants that move, and a little breath. Whether it is
one tells `glasses ask --audio cat.ogg "What is that sound?"`.

    python -m models.recipes.synthetic_animals glasses/tools/sounds
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 16_000
HARMONICS = 40
PEAK = 0.5
Formant = tuple[float, float, float]  # Hz, width in Hz, level


@dataclass(frozen=True)
class Call:
    """One call of an animal. Pitch and loudness are points at equal distances, `formants` are (moment 0..1, three)."""

    seconds: float
    pitch_hz: tuple[float, ...]
    loudness: tuple[float, ...]
    formants: tuple[tuple[float, tuple[Formant, Formant, Formant]], ...]
    breath: float = 0.03
    flutter: tuple[float, float] = (6.0, 0.012)  # Hz, and its share of the pitch


_MEOW = (
    (0.0, ((350, 150, 1), (1100, 300, 0.1), (2600, 400, 0.05))),
    (0.12, ((700, 200, 1), (2300, 350, 0.8), (3600, 500, 0.3))),
    (0.35, ((1150, 250, 1), (2100, 350, 0.9), (3700, 500, 0.4))),
    (0.65, ((1050, 250, 1), (1600, 300, 0.8), (3500, 500, 0.25))),
    (1.0, ((600, 200, 1), (1000, 250, 0.5), (2900, 400, 0.06))),
)
ANIMALS: dict[str, tuple[Call, ...]] = {
    "cat": (
        Call(0.9, (430, 640, 700, 660, 420), (0, 0.8, 1, 0.9, 0.6, 0), _MEOW),
        Call(0.75, (470, 700, 790, 720, 480), (0, 0.8, 1, 0.9, 0.6, 0), _MEOW),
    ),
}


def voiced(call: Call, chance: np.random.Generator) -> NDArray[np.float64]:
    """The sound, (N,) at RATE_HZ."""
    n = round(RATE_HZ * call.seconds)
    moment = np.linspace(0, 1, n)
    wander = np.cumsum(chance.standard_normal(n)) * 1e-4
    wander -= np.linspace(wander[0], wander[-1], n)
    rate_hz, depth = call.flutter
    flutter = 1 + depth * np.sin(2 * np.pi * rate_hz * call.seconds * moment) + wander
    pitch_hz = _through(call.pitch_hz, moment) * flutter
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    moments = [at for at, _ in call.formants]
    moving = [[np.interp(moment, moments, [f[i][j] for _, f in call.formants]) for j in range(3)] for i in range(3)]
    sound = np.zeros(n)
    for harmonic in range(1, HARMONICS + 1):
        at_hz = harmonic * pitch_hz
        level = sum(peak / (1 + ((at_hz - centre) / width) ** 2) for centre, width, peak in moving)
        sound += np.where(at_hz < 0.475 * RATE_HZ, level * np.sin(harmonic * phase + 0.3 * harmonic), 0) / harmonic**0.5
    breath = np.convolve(chance.standard_normal(n), [1, -0.8], "same")
    return (sound / np.abs(sound).max() + call.breath * breath) * _through(call.loudness, moment)


def _through(points: tuple[float, ...], moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth line through points at equal distances."""
    smooth = np.hanning(801) / np.hanning(801).sum()
    line = np.interp(moment, np.linspace(0, 1, len(points)), points)
    return np.convolve(np.pad(line, 400, mode="edge"), smooth, "valid")


def main(folder: Path) -> None:
    """Writes each animal as Ogg Vorbis."""
    for name, calls in ANIMALS.items():
        chance, pause = np.random.default_rng(1), np.zeros(RATE_HZ // 20)
        sound = np.concatenate([pause, *(part for call in calls for part in (voiced(call, chance), pause, pause))])
        soundfile.write(folder / f"{name}.ogg", PEAK * sound / np.abs(sound).max(), RATE_HZ, subtype="VORBIS")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
