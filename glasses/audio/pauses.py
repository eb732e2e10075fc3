"""Cuts long pauses out of a sound that is given whole, before it is encoded.

Whisper was trained on talk. With much silence before, within or after a question it hears words that nobody said, or
none. The live pipeline never shows it such a window, because the turn manager cuts turns at pauses; sound files get the
same treatment here. Only what carries nothing is shortened: no voice in it, and either hardly audible or unchanging.
Whatever happens in a pause (a bark, music) stays.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from glasses.audio.vad import STEP, Vad
from glasses.types import SAMPLE_RATE_HZ, Float32Array

_Mask = NDArray[np.bool_]

_STEPS = 8  # of the voice detector in a block, in which it is judged whether anything happens
_BLOCK = _STEPS * STEP  # samples, 256 ms
_S = SAMPLE_RATE_HZ / STEP  # steps a second
LONGEST_PAUSE = round(1.0 * _S)  # steps; a longer one is shortened. Whisper mishears with two seconds within a word
LONGEST_NOISE = round(2.5 * _S)  # of a pause that is filled with unchanging noise, which may be what is asked about
LONGEST_SILENCE = round(5.0 * _S)  # where nobody speaks
# Steps of a pause that are kept: before speech, whose onset is found late, and after it; beside what happens in it.
_BEFORE, _AFTER, _BESIDE_EVENT = 12, 9, 16
# RMS below which nothing is audible: a quiet room's microphone; and as a ratio to the voice, or to the loudest block.
_INAUDIBLE, _BELOW_VOICE, _BELOW_LOUDEST = 10 ** (-60 / 20), 0.03, 0.01
_EVENT_RATIO = 10 ** (6 / 10)  # of a band's energy to its median in the pause. Steady noise stays within 2 dB
_BAND_EDGES_HZ = (62, 125, 250, 500, 1000, 2000, 4000, 8000)
_BAND_FLOOR = 10 ** (-75 / 10)  # energy of a band that is taken for nothing


def without_long_pauses(pcm: Float32Array, vad: Vad) -> Float32Array:
    """float32 (N,) at 16 kHz without the long pauses; the same array where it has none."""
    n_blocks = len(pcm) // _BLOCK
    if n_blocks * _STEPS <= LONGEST_PAUSE:
        return pcm
    whole = pcm[: n_blocks * _BLOCK]
    rms = np.sqrt(np.mean(np.square(whole.reshape(n_blocks, _BLOCK)), axis=1)).repeat(_STEPS)
    is_speech = vad.speech_in(np.clip(whole * 32767, -32768, 32767).astype(np.int16))
    if is_speech.any():
        audible = max(_INAUDIBLE, _BELOW_VOICE * float(np.median(rms[is_speech])))
        happens = is_speech | _near(_events(whole.reshape(n_blocks, _BLOCK), is_speech) & (rms > audible))
        keep = _shortened(happens | (rms > audible), LONGEST_PAUSE) & _shortened(happens, LONGEST_NOISE)
    else:
        audible = max(_INAUDIBLE, _BELOW_LOUDEST * float(rms.max()))
        keep = _shortened(_near(rms > audible), LONGEST_SILENCE)
    if keep.all():
        return pcm
    return np.concatenate([whole.reshape(-1, STEP)[keep].reshape(-1), pcm[len(whole) :]])


def _events(blocks: Float32Array, is_speech: _Mask) -> _Mask:
    """The steps of those blocks between speech that are louder, in some band, than their pause usually is."""
    energies = _bands(blocks)
    has_speech = is_speech.reshape(len(blocks), _STEPS).any(axis=1)
    found = np.zeros(len(blocks), np.bool_)
    for first, end in _runs(np.logical_not(has_speech)):
        usual = np.median(energies[first:end], axis=0)
        found[first:end] = (energies[first:end] > _EVENT_RATIO * usual).any(axis=1)
    return found.repeat(_STEPS)


def _bands(blocks: Float32Array) -> NDArray[np.float32]:
    """Mean energy of each block in octave bands, (blocks, 7), never below a floor."""
    spectra = np.square(np.abs(np.fft.rfft(blocks, axis=1))).astype(np.float32) * (2 / _BLOCK**2)
    edges = [round(hz * _BLOCK / SAMPLE_RATE_HZ) for hz in _BAND_EDGES_HZ]
    bands = [spectra[:, low:high].sum(axis=1) for low, high in pairwise(edges)]
    return np.stack(bands, axis=1) + np.float32(_BAND_FLOOR)


def _near(events: _Mask) -> _Mask:
    """The events with half a second on both sides."""
    around = np.ones(2 * _BESIDE_EVENT + 1)
    return np.convolve(events, around)[_BESIDE_EVENT : _BESIDE_EVENT + len(events)] > 0


def _shortened(happens: _Mask, longest: int) -> _Mask:
    """What to keep: all but the middle of each run of more than `longest` steps in which nothing happens."""
    keep = np.ones(len(happens), np.bool_)
    for first, end in _runs(np.logical_not(happens)):
        if end - first > longest:
            keep[first + (_AFTER if first else 0) : end - (_BEFORE if end < len(happens) else 0)] = False
    if not keep.any():  # nothing happens at all: a little of it says so
        keep[:LONGEST_PAUSE] = True
    return keep


def _runs(mask: _Mask) -> list[tuple[int, int]]:
    """First and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]
