"""Tells whether the microphone hears the assistant's own voice alone, or somebody who talks over it."""

from __future__ import annotations

from collections import deque

import numpy as np

from glasses.audio.reference import AlignedReference
from glasses.types import SAMPLE_RATE_HZ, Int16Array

OWN_CORRELATION = 0.85  # with what was played, from which the sound is that, and at most a whisper besides
_COMPARED = SAMPLE_RATE_HZ * 3 // 10  # samples of the microphone that are compared: 300 ms
_COMPARED_AFTER_DRY = SAMPLE_RATE_HZ * 4 // 25  # 160 ms: after the device ran dry, older sound lies at another delay
# Where the device runs dry again and again, each stretch that is compared holds a hole. Of shorter pieces most are
# whole: on speech with 30 ms missing five times a second it takes at most 140 ms until it is known (240 by the
# stretches above). Somebody who talks over the reply is taken for it in 5 to 7% of chunks, so it is used only then.
_PIECE, _N_PIECES, _N_KNOWN = SAMPLE_RATE_HZ * 6 // 100, 4, 3
_LONGEST_DELAY = SAMPLE_RATE_HZ * 6 // 10  # samples: the longest delay of devices and room that is looked for
_LEAST_POWER = 1e4  # mean square of int16, -50 dB of full scale: anything quieter is nobody's voice
_RETURN_CHUNKS = 15  # 300 ms: the echo is no louder than the speaker was within them, times the gain of the path
_LEARNED_CHUNKS = 25  # chunks of own voice alone after which the gain of the path is known
_GAIN_UP, _GAIN_DOWN = 0.2, 0.005  # share of the difference by which the gain follows in a chunk, upwards and downwards
_DOUBLE_TALK_RATIO = 1.5  # times as loud as the echo can be: somebody else is talking
_PLAYING_RMS = 300.0  # of int16, from which the speaker plays


class OwnVoiceDetector:
    """Finds the last of the microphone's sound in what was played, by correlation over all possible delays.

    That works only where the path adds little of its own; a room's reverberation is the canceller's part.
    """

    def __init__(self) -> None:
        self._heard = np.zeros(_COMPARED, np.int16)  # the last of the microphone's sound, as it came

    def hear(self, pcm: Int16Array) -> None:
        """Takes the next sound of the microphone, int16 (N,)."""
        self._heard = np.concatenate([self._heard, pcm])[-_COMPARED:]

    def is_own_voice(self, reference: AlignedReference, *, ran_dry: bool = False) -> bool:
        """Whether the last 300 ms, or the last 160, are what was played; or, where the device `ran_dry` while it played
        them, three of the last four pieces of 60 ms.
        """
        if any(
            _contains(reference.before(n + _LONGEST_DELAY), self._heard[-n:]) for n in (_COMPARED, _COMPARED_AFTER_DRY)
        ):
            return True
        if not ran_dry or len(self._heard) < _N_PIECES * _PIECE:
            return False
        pieces = np.split(self._heard[-_N_PIECES * _PIECE :], _N_PIECES)
        played = reference.before(_N_PIECES * _PIECE + _LONGEST_DELAY)
        return sum(_contains(played, piece) for piece in pieces) >= _N_KNOWN


class DoubleTalkDetector:
    """Compares how loud the microphone is with how loud the echo can be.

    It finds a voice over the reply at once, while the canceller mutes the first 60 to 300 ms of it.
    """

    def __init__(self) -> None:
        self._reference_rms: deque[float] = deque(maxlen=_RETURN_CHUNKS)
        self._gain, self._n_learned = 0.0, 0  # of the path from speaker to microphone

    def is_talked_over(self, heard: Int16Array, played: Int16Array, *, own_voice: bool) -> bool:
        """Takes one chunk of both, int16 (N,); the gain is learned while `own_voice` alone is heard."""
        self._reference_rms.append(_rms(played))
        loudest = max(self._reference_rms)
        if loudest < _PLAYING_RMS:
            return False
        gain = _rms(heard) / loudest
        if own_voice:
            self._n_learned += 1
            self._gain += (_GAIN_UP if gain > self._gain else _GAIN_DOWN) * (gain - self._gain)
        return self._n_learned > _LEARNED_CHUNKS and gain > _DOUBLE_TALK_RATIO * self._gain


def _contains(played: Int16Array, heard: Int16Array) -> bool:
    """Whether `heard` (n,) correlates with some stretch of `played` (at least n samples)."""
    near, far = heard.astype(np.float64), played.astype(np.float64)
    power = float((near**2).sum())
    if power < _LEAST_POWER * len(near) or len(far) < len(near):
        return False
    n_fft = 1 << (len(far) + len(near)).bit_length()
    product = np.fft.rfft(far, n_fft) * np.conj(np.fft.rfft(near, n_fft))
    correlation = np.abs(np.fft.irfft(product, n_fft)[: len(far) - len(near) + 1])
    energy = np.cumsum(np.concatenate([[0.0], far**2]))
    there = np.maximum(energy[len(near) :] - energy[: -len(near)], 1)
    return bool((correlation / np.sqrt(there * power)).max() >= OWN_CORRELATION)


def _rms(pcm: Int16Array) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
