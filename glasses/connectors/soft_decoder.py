"""Soft autoregressive decoding of speech: encoder latents -> sub-words, each as a distribution.

The network is Whisper's decoder with rows learned for windows shorter than its 30 s (quantize/whisper_decoder.py). It
feeds back the *expected* embedding of the last sub-word instead of that of the likeliest one, so no sub-word is ever
chosen; its output is the probability of each of the likeliest sub-words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.backbone import repetition
from glasses.connectors.pooled import check_space
from glasses.errors import ModelError, Reason
from glasses.model_store.onnx import open_session
from glasses.types import Float32Array, Latents

LATENTS_PER_SUBWORD = 5  # nobody says more than ten sub-words a second: a longer output is a decoding failure
N_FREE = 4  # sub-words on top of that, for very short words
MAX_SUBWORDS = 224  # half of Whisper's position table, as in its own decoding
REPEATED = 4  # times that the same few sub-words may follow each other
LONGEST_REPEATED = 12  # sub-words in what is repeated
MAX_VOCABULARY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SoftSubword:
    """One decoded sub-word: the candidates `subwords` (k,), likeliest first, with their `probabilities` (k,).

    The probabilities sum to 1 less that of all other sub-words.
    """

    subwords: NDArray[np.int64]
    probabilities: Float32Array


class SoftDecoder:
    """Latents (T, width) -> soft sub-words in order."""

    def __init__(self, begin: Path, step: Path, weights: Path, *, n_threads: int = 1) -> None:
        """Raises ModelError: NOT_FOUND, CORRUPT."""
        self._begin = open_session(begin, n_threads=n_threads, keep_arena=False, weights=weights.parent)
        self._step = open_session(step, n_threads=n_threads, keep_arena=False, weights=weights.parent)
        self.width: int = self._begin.get_inputs()[0].shape[-1]
        try:
            self.space = self._begin.get_modelmeta().custom_metadata_map["space"]
            self._end = int(self._step.get_modelmeta().custom_metadata_map["end"])
        except (KeyError, ValueError) as error:
            raise ModelError(Reason.CORRUPT, f"{begin} or {step.name}: no listener, {error} is missing") from error
        past = next(one for one in self._step.get_inputs() if one.name == "past")
        self._no_past = np.zeros([0 if isinstance(n, str) else n for n in past.shape], np.float32)

    def decode(self, latents: Latents) -> list[SoftSubword]:
        """What was said; empty where nobody speaks. Raises ModelError(WRONG_SPACE)."""
        check_space(latents, self.space)
        cross, bias, rows = map(np.asarray, self._begin.run(["cross", "bias", "start_rows"], {"latents": latents.data}))
        feeds = {"cross": cross, "bias": bias, "past": self._no_past}
        n_past, decoded, likeliest = 0, list[SoftSubword](), list[int]()
        limit = min(N_FREE + len(latents.data) // LATENTS_PER_SUBWORD, MAX_SUBWORDS)
        while len(decoded) < limit and not is_repeating(likeliest):
            n_new = len(rows)
            mask = np.triu(np.full((n_new, n_past + n_new), -1e9, np.float32), n_past + 1)
            feeds |= {"rows": rows, "positions_at": np.arange(n_past, n_past + n_new), "mask": mask}
            outputs = self._step.run(["pieces", "shares", "row", "past_out"], feeds)
            subwords, probabilities, rows, feeds["past"] = map(np.asarray, outputs)
            if subwords[0] == self._end:
                break
            n_past += n_new
            likeliest.append(int(subwords[0]))
            decoded.append(SoftSubword(subwords[subwords != self._end], probabilities[subwords != self._end]))
        return decoded


def is_repeating(subwords: list[int]) -> bool:
    """Whether the same 1 to LONGEST_REPEATED sub-words stand REPEATED times in a row at the end."""
    return repetition.is_repeating(subwords, longest=LONGEST_REPEATED, times=REPEATED, enough=0)


def read_subwords(path: Path) -> list[str]:
    """The text of every sub-word from a GPT-2 vocabulary file, one a line, in which each byte is one letter.

    A sub-word that is no whole text, such as half of a UTF-8 character, is "". Raises ModelError: TOO_LARGE, CORRUPT.
    """
    if path.stat().st_size > MAX_VOCABULARY_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_VOCABULARY_BYTES:,} bytes")
    byte_of = {letter: byte for byte, letter in enumerate(_letters())}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [bytes(byte_of[letter] for letter in line).decode("utf-8", "ignore") for line in lines if line]
    except (UnicodeDecodeError, KeyError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a vocabulary of bytes: {error}") from error


def _letters() -> list[str]:
    """The letter of each byte: itself where it prints, else one from 256 on (Radford et al. 2019, GPT-2's encoder)."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in prints else next(others)) for byte in range(256)]
