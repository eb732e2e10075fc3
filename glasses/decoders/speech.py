"""Speech synthesis with a Piper voice, one clause at a time.

The voice network runs here, in onnxruntime; only its phonemes come from a GPL-3 library, in a child process
(phonemes.py). Without the `voice` extra `Voice` raises ModelError(NOT_INSTALLED), and answers stay text.
Piper's own Python class is not used, so that its licence stays out of this process. A round trip through the pipe takes
far under a millisecond, so the speed is that of the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from glasses.decoders.phonemes import Phonemizer
from glasses.decoders.read_aloud import speakable_clauses
from glasses.errors import ModelError, Reason
from glasses.model_store.onnx import give_back_memory, open_session
from glasses.types import Float32Array, frozen

_MAX_CONFIG_BYTES = 1 << 20
_WARM_UP = "Hello there."
_PEAK, _MOST_PEAK = 0.7, 0.95  # of full scale: the peak the warm-up is scaled to, and the highest peak allowed
_AUDIBLE = 0.01  # of the clause's peak; the network pads each clause with 50 to 250 ms below this
_LEAD_S, _TAIL_S = 0.004, 0.06  # this much of the padding is kept, and faded
_PAUSES_S = {",": 0.12, ";": 0.2, ":": 0.2, "\u2013": 0.15, "\u2014": 0.15, ".": 0.3, "!": 0.3, "?": 0.3, "…": 0.4}
_CLOSERS = "\"'\u201d\u2019)]}*_ "


@dataclass(frozen=True, slots=True)
class _Config:
    rate_hz: int
    espeak_voice: str
    ids: dict[str, list[int]]  # phoneme -> network inputs; "^", "$" and "_" are begin, end and padding
    scales: Float32Array  # (3,): noise, length, noise of the lengths
    speaker: int | None  # None: the voice has one


class Voice:
    """A Piper voice for one caller at a time; `close` (or `with`) ends its child process."""

    def __init__(self, onnx_path: Path, config_path: Path, threads: int = 1, *, warm: bool = True) -> None:
        """Loads and warms up, in about a second; without `warm`, `warm_up` or the first clause does that.

        Raises ModelError: NOT_INSTALLED without the voice extra, NOT_FOUND, CORRUPT (the message names the file).
        """
        self._config = _read_config(config_path)
        self._phonemizer = Phonemizer(self._config.espeak_voice)
        self._gain, self._running = 1.0, onnxruntime.RunOptions()
        self.speed = 1.0  # of the clauses from now on; 2 is twice as fast
        self._path, self._threads = onnx_path, threads
        self._session: onnxruntime.InferenceSession | None = None
        if warm:
            self.warm_up()

    def warm_up(self) -> None:
        """Loads the network and synthesizes one clause, the first time it is called.

        Raises ModelError as the constructor does.
        """
        if self._session is not None:
            return
        try:
            # An arena would keep the longest clause: 80 MB.
            self._session = open_session(self._path, n_threads=self._threads, keep_arena=False)
            loudest = float(np.abs(self._network(self._phonemizer.phonemes(_WARM_UP))).max())
        except BaseException:
            self._session = None
            self._phonemizer.close()
            raise
        self._gain = _PEAK / max(loudest, 1e-3)

    @property
    def rate_hz(self) -> int:
        """Sample rate of what `speak` yields."""
        return self._config.rate_hz

    def speak(self, clauses: Iterable[str]) -> Iterator[Float32Array]:
        """Yields the sound of each clause as soon as the clause comes: float32 (N,), within -0.95..0.95.

        All but the first begin with the pause that belongs to the end of the clause before. A clause without anything
        to read aloud yields nothing. Raises InputError(TOO_LARGE) for one over 2000 characters, ModelError(INTERNAL),
        and ABORTED after `abort`.
        """
        self.warm_up()
        pause_s = 0.0
        try:
            for clause, text in speakable_clauses(clauses):
                if not text:
                    continue
                pcm = self._trim(self._network(self._phonemizer.phonemes(text)))
                pcm *= min(self._gain, _MOST_PEAK / max(float(np.abs(pcm).max()), 1e-6))
                silence = np.zeros(round(pause_s * self.rate_hz), np.float32)
                pause_s = _PAUSES_S.get(clause.rstrip(_CLOSERS)[-1:], 0.0)
                yield frozen(np.concatenate([silence, pcm]))
        finally:
            give_back_memory()  # glibc would keep some 100 MB of a synthesis for the next one

    def abort(self) -> None:
        """Stops the running synthesis, from any thread: `speak` raises ModelError(ABORTED)."""
        self._running.terminate = True

    def close(self) -> None:
        """Ends the child process. Safe to call twice."""
        self._phonemizer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _network(self, phonemes: str) -> Float32Array:
        assert self._session is not None
        ids = self._config.ids
        padding = ids["_"]
        inputs = [*ids["^"], *padding]
        for phoneme in phonemes:  # one the voice was not trained on is left out, as Piper does
            if phoneme in ids:
                inputs += [*ids[phoneme], *padding]
        inputs += ids["$"]
        feed: dict[str, Any] = {
            "input": np.array([inputs], np.int64),
            "input_lengths": np.array([len(inputs)], np.int64),
            "scales": self._config.scales * np.array([1, 1 / self.speed, 1], np.float32),
        }
        if self._config.speaker is not None:
            feed["sid"] = np.array([self._config.speaker], np.int64)
        self._running = running = onnxruntime.RunOptions()
        try:
            pcm = np.asarray(self._session.run(None, feed, running)[0], np.float32).reshape(-1)
        except Exception as error:  # onnxruntime's errors share no narrower base
            if running.terminate:
                raise ModelError(Reason.ABORTED, "aborted by another thread") from error
            raise ModelError(Reason.INTERNAL, f"the voice failed on {len(inputs)} inputs: {error}") from error
        if not pcm.size or not np.isfinite(pcm).all():
            raise ModelError(Reason.INTERNAL, f"the voice gave {pcm.size} samples, or some that are not numbers")
        return pcm

    def _trim(self, pcm: Float32Array) -> Float32Array:
        """A copy without the near-silence at both ends, save a faded margin."""
        loud = np.flatnonzero(np.abs(pcm) > _AUDIBLE * np.abs(pcm).max())
        if not loud.size:
            return pcm.copy()
        lead, tail = round(_LEAD_S * self.rate_hz), round(_TAIL_S * self.rate_hz)
        pcm = pcm[max(0, loud[0] - lead) : loud[-1] + tail].copy()
        lead, tail = min(lead, pcm.size), min(tail, pcm.size)
        pcm[:lead] *= np.linspace(0, 1, lead, dtype=np.float32)
        pcm[-tail:] *= np.linspace(1, 0, tail, dtype=np.float32)
        return pcm


def _read_config(path: Path) -> _Config:
    """The voice's .onnx.json: `phoneme_type` must be espeak; a voice of many speakers speaks as its first."""
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"no voice configuration {path}")
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ModelError(Reason.CORRUPT, f"{path}: over {_MAX_CONFIG_BYTES} bytes, not a voice configuration")
    try:
        table = json.loads(path.read_bytes())
        scales = table["inference"]
        config = _Config(
            rate_hz=int(table["audio"]["sample_rate"]),
            espeak_voice=str(table["espeak"]["voice"]),
            ids={str(k): [int(i) for i in v] for k, v in table["phoneme_id_map"].items()},
            scales=np.array([scales["noise_scale"], scales["length_scale"], scales["noise_w"]], np.float32),
            speaker=0 if int(table.get("num_speakers", 1)) > 1 else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a Piper voice configuration: {error!r}") from error
    if table.get("phoneme_type", "espeak") != "espeak" or not {"^", "$", "_"} <= config.ids.keys():
        raise ModelError(Reason.CORRUPT, f"{path}: only voices with espeak phonemes can be used")
    if not 8000 <= config.rate_hz <= 48_000:
        raise ModelError(Reason.CORRUPT, f"{path}: sample_rate {config.rate_hz} is outside 8000 to 48000")
    return config
