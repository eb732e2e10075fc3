"""Hears words in an encoder's latents: piece after piece, each as a distribution. Knows no backbone.

The network is Whisper's decoder with rows learned for windows shorter than its 30 s (quantize/whisper_decoder.py). It
goes on from the *mean* of what it took the last piece for, not from a choice: nothing is ever picked, and what it
passes on is how likely each of the likeliest pieces is.
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

LATENTS_PER_PIECE = 5  # nobody says more than ten pieces a second: beyond that it has lost its way
N_FREE = 4  # and a few more, for a very short word
MAX_PIECES = 224  # half of Whisper's position table, as in its own decoding
AGAIN = 4  # times that the same few pieces may follow each other
LONGEST_AGAIN = 12  # pieces in what is said again and again
MAX_VOCABULARY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class DecodedSpeech:
    """One piece: the likeliest first; `shares` (k,) are probabilities, 1 less those of all that are not among them."""

    pieces: NDArray[np.int64]
    shares: Float32Array


class SoftDecoder:
    """Latents (T, width) -> what was heard, in order."""

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

    def hear(self, latents: Latents) -> list[DecodedSpeech]:
        """What was said, nothing where nobody speaks. Raises ModelError(WRONG_SPACE)."""
        check_space(latents, self.space)
        looked_at = self._begin.run(["cross", "bias", "start_rows"], {"latents": latents.data})
        cross, bias, rows = map(np.asarray, looked_at)
        feeds = {"cross": cross, "bias": bias, "past": self._no_past}
        n, heard, likeliest = 0, list[DecodedSpeech](), list[int]()
        most = min(N_FREE + len(latents.data) // LATENTS_PER_PIECE, MAX_PIECES)
        while len(heard) < most and not goes_round(likeliest):
            m = len(rows)
            mask = np.triu(np.full((m, n + m), -1e9, np.float32), n + 1)
            feeds |= {"rows": rows, "positions_at": np.arange(n, n + m), "mask": mask}
            told = self._step.run(["pieces", "shares", "row", "past_out"], feeds)
            pieces, shares, rows, feeds["past"] = map(np.asarray, told)
            if pieces[0] == self._end:
                break
            n += m
            likeliest.append(int(pieces[0]))
            heard.append(DecodedSpeech(pieces[pieces != self._end], shares[pieces != self._end]))
        return heard


def goes_round(pieces: list[int]) -> bool:
    """Whether the same 1 to LONGEST_AGAIN pieces have come AGAIN times in a row at the end."""
    return repetition.is_repeating(pieces, longest=LONGEST_AGAIN, times=AGAIN, enough=0)


def read_pieces(path: Path) -> list[str]:
    """The text of every piece from a vocabulary of GPT-2's kind, one a line, in which every byte is one letter; "" for
    pieces that are no whole text. Raises ModelError: TOO_LARGE, CORRUPT.
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
