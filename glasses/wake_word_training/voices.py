"""Synthetic voices: a text in, 16 kHz sound out; and augmentation by room, noise and another speaker.

The bundle's own voice is one speaker. Where Debian's espeak-ng and flite are there (GPL-3 and BSD-like, run as programs
of their own) there are dozens, and a detector generalizes to people sooner. Some voices are kept for testing.
"""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import soundfile
import soxr

from glasses.decoders.speech import Voice
from glasses.types import SAMPLE_RATE_HZ, Float32Array

ESPEAK_ACCENTS = ["en-us", "en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc"]
ESPEAK_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Annie Alex Andy Diogo Ed grandma grandpa Lee Mario steph Hugo".split()
)
# Languages that talk with other sounds than English; an English text in them is talk in no language.
ESPEAK_ABROAD = "af cs da de el es es-419 fi fr-fr hi hu id it ja ko nl pl pt pt-br ro ru sv tr uk vi".split()
ESPEAK_HELD_OUT = ("m4", "f3", "Annie", "grandpa", "Lee")
FLITE_HELD_OUT = ("rms",)
_TIMEOUT_S = 30.0

Say = Callable[[str, random.Random], Float32Array]


def from_wav(data: bytes) -> Float32Array:
    """A WAV file's sound, float32 (N,). Streamed headers carry no true length; soundfile reads to the end."""
    pcm, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    return soxr.resample(pcm, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)


def espeak(text: str, rng: random.Random, variants: Sequence[str] = ESPEAK_VARIANTS) -> Float32Array:
    """espeak-ng with a random accent, one of `variants`, and a random speed and pitch."""
    voice = f"{rng.choice(ESPEAK_ACCENTS)}+{rng.choice(variants)}"
    speed, pitch = str(rng.randint(125, 210)), str(rng.randint(20, 80))
    return _said(["espeak-ng", "--stdout", "-v", voice, "-s", speed, "-p", pitch, "--", text])


def espeak_abroad(text: str, rng: random.Random, variants: Sequence[str] = ESPEAK_VARIANTS) -> Float32Array:
    """espeak-ng in a random language, as if the text were of that language."""
    voice = f"{rng.choice(ESPEAK_ABROAD)}+{rng.choice(variants)}"
    speed, pitch = str(rng.randint(125, 230)), str(rng.randint(20, 80))
    return _said(["espeak-ng", "--stdout", "-v", voice, "-s", speed, "-p", pitch, "--", text])


def flite(text: str, rng: random.Random, names: tuple[str, ...] = ("kal16", "awb", "slt", "slt")) -> Float32Array:
    """flite with one of `names` and a random tempo."""
    stretch = f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"
    return _said(["flite", "-voice", rng.choice(names), "--setf", stretch, "-t", text, "-o", "/dev/stdout"])


def _said(command: list[str]) -> Float32Array:
    return from_wav(subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT_S).stdout)


def of_bundle(voice: Voice) -> Say:
    """The bundle's voice; its network draws melody and lengths anew each time."""

    def say(text: str, rng: random.Random) -> Float32Array:
        pcm = np.concatenate([np.zeros(0, np.float32), *voice.speak([text])])
        return soxr.resample(pcm, voice.rate_hz, SAMPLE_RATE_HZ).astype(np.float32)

    return say


def at_hand(voice: Voice | None) -> tuple[dict[str, Say], dict[str, Say]]:
    """The voices of this machine by name: to learn from, and to test with. Either may be empty."""
    learn: dict[str, Say] = {"the bundle's voice": of_bundle(voice)} if voice else {}
    test: dict[str, Say] = {}
    if shutil.which("espeak-ng"):
        rest = [variant for variant in ESPEAK_VARIANTS if variant not in ESPEAK_HELD_OUT]
        learn["espeak-ng"] = lambda text, rng: espeak(text, rng, rest)
        test["espeak-ng, other variants"] = lambda text, rng: espeak(text, rng, ESPEAK_HELD_OUT)
    if shutil.which("flite"):
        learn["flite"] = flite
        test["flite rms"] = lambda text, rng: flite(text, rng, FLITE_HELD_OUT)
    return learn, test


def abroad_at_hand(learn: dict[str, Say]) -> dict[str, Say]:
    """The voices to learn from, and with them those of other languages, which are only to say other things."""
    if not shutil.which("espeak-ng"):
        return learn
    rest = [variant for variant in ESPEAK_VARIANTS if variant not in ESPEAK_HELD_OUT]
    return {**learn, "espeak-ng, other languages": lambda text, rng: espeak_abroad(text, rng, rest)}


def change_speed(pcm: Float32Array, factor: float) -> Float32Array:
    """Plays `factor` times faster, pitch and formants moving along: another speaker."""
    return soxr.resample(pcm, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ).astype(np.float32)


def noise(n: int, rng: np.random.Generator) -> Float32Array:
    """Coloured noise between white and brown, unit RMS, slowly swelling."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** rng.uniform(0, 1)
    shaped = np.fft.irfft(spectrum, n)
    shaped *= 1 + 0.5 * np.sin(2 * np.pi * (np.arange(n) / SAMPLE_RATE_HZ * rng.uniform(0.1, 2) + rng.random()))
    return (shaped / np.sqrt((shaped**2).mean() + 1e-12)).astype(np.float32)


def add_at_snr(pcm: Float32Array, other: Float32Array, snr_db: float) -> Float32Array:
    """Adds `other` so that the clip's power stands `snr_db` above it."""
    scale = np.sqrt((pcm**2).mean() / ((other**2).mean() + 1e-12)) * 10 ** (-snr_db / 20)
    return (pcm + scale * other).astype(np.float32)


def trimmed(pcm: Float32Array, *, floor: float = 0.02) -> Float32Array:
    """Without the near-silence around it: from the first to the last sample over `floor` of the peak."""
    loud = np.flatnonzero(np.abs(pcm) > floor * np.abs(pcm).max(initial=0.0))
    return pcm[loud[0] : loud[-1] + 1] if len(loud) else pcm[:0]


def takes(says: dict[str, Say], texts: Iterator[str], n: int, rng: random.Random) -> Iterator[Float32Array]:
    """`n` texts, the voices taking turns, without the silence around them, at another speed each."""
    names = list(says)
    for i in range(n):
        pcm = trimmed(says[names[i % len(names)]](next(texts), rng))
        if len(pcm):
            yield change_speed(pcm, rng.uniform(0.85, 1.18))
