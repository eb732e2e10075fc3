"""How often the taught wake phrase is missed, and how often something else wakes it: hours of sound through the gates.

Faster than real time: the voice detector hears all of it, the head what the detector takes for a voice. No sound is
heard twice, so the hours are independent of each other; none is of the half that teaching may have learned from.
Interrupted, it gives what it has. Knows no device.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasses import store
from glasses.app import SPARE_ONE, wake_path
from glasses.encoders.audio import AudioEncoder
from glasses.errors import InputError, Reason
from glasses.gates.voice import VoiceDetector
from glasses.gates.wake import WakeGate, load
from glasses.teach import wake
from glasses.teach.voices import add_at_snr, at_hand, noise
from glasses.types import Float32Array

LEAST_FILES = 10
_N_PHRASES = 100


def run(bundle: str, folders: Sequence[Path], hours: float, tick: wake.Tick) -> dict[str, Any]:
    """Raises ModelError (no phrase was taught, models), InputError(NOT_FOUND) for folders with hardly a sound."""
    head = load(wake_path())
    files = wake.sound_files(folders, learn=False)
    if len(files) < LEAST_FILES:
        raise InputError(Reason.NOT_FOUND, f"{len(files)} sound files below {', '.join(map(str, folders))}; name more")
    models = store.load_bundle(bundle)
    encoder = AudioEncoder(store.path_of(models.audio_encoder), n_threads=SPARE_ONE)
    gate = WakeGate(head, encoder.encode, encoder.space)
    hearing = wake.Hearing(gate, VoiceDetector(store.path_of(models.voice_gate)))
    figures: dict[str, Any] = {"phrase": head.phrase}
    learn, test = at_hand(None)
    try:
        if test or learn:
            misses, n = wake.missed(hearing, head.phrase, test or learn, _N_PHRASES, tick, seed=11)
            figures |= {"missed": misses, "of": n}
        for so_far in wake.false_accepts(hearing, mixed(files), hours, tick):
            figures |= so_far
    except KeyboardInterrupt:
        figures["interrupted"] = True
    return figures


def mixed(files: Sequence[Path], seed: int = 0) -> Iterator[Float32Array]:
    """Each file once: a third as it is, a third in noise, a third with another of them, used up by it, beneath it."""
    rng, noise_rng = random.Random(seed), np.random.default_rng(seed)
    clips = wake.read_sounds(files)
    for pcm in clips:
        out, how = pcm, rng.randrange(3)
        if how == 1:
            out = add_at_snr(pcm, noise(len(pcm), noise_rng), rng.uniform(0, 25))
        elif how == 2 and (beneath := next(clips, None)) is not None:
            other = np.pad(beneath[: len(pcm)], (0, max(0, len(pcm) - len(beneath))))
            out = add_at_snr(pcm, other, rng.uniform(0, 15))
        yield out * np.float32(rng.uniform(0.1, 0.9) / max(float(np.abs(out).max()), 1e-6))
