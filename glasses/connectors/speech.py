"""The speech connector: audio-encoder latents -> about one soft token for each spoken token.

`SoftDecoder` turns latents into sub-words, each a distribution; `TokenMixture` turns each distribution into rows of the
backbone. The rows stand alone, without begin and end rows, so the backbone reads a spoken request like a typed one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np

from glasses.connectors.soft_decoder import SoftDecoder, SoftSubword
from glasses.connectors.token_mixture import TokenMixture, TokenRowSource
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Latents, frozen

MIN_LATENTS = 4  # fewer are too short for a word
# Mean probability of the likeliest sub-words below which nobody speaks; 97% of the training clips are above it.
MIN_CERTAINTY = 0.4
# Power of the probabilities before rows are mixed. A point half-way between two words means little to a small backbone:
# of 110 training questions 44 are answered as typed with 1, 48 with 2, 55 with 4, 53 with 8.
INVERSE_TEMPERATURE = 4
PUNCTUATION = ".,;:?!-\"' "  # a sub-word of these alone is a pause
MAX_ROWS_BYTES = 4 << 20
PLAIN_PREFIX = "\n"  # between words and a request about them, where no rows were learned for it


class SubwordMixture:
    """Soft sub-words as rows of a backbone; `subwords` are the texts, by number."""

    def __init__(self, subwords: Sequence[str], backbone: TokenRowSource) -> None:
        # The first is written as at the start of typed text, without the space that sub-words begin with.
        stripped = [text.lstrip() for text in subwords]
        self._first, self._others = (TokenMixture(texts, backbone) for texts in (stripped, subwords))

    def rows(self, decoded: Sequence[SoftSubword]) -> Float32Array:
        """Rows (n, n_embd) of one soft sub-word or more."""
        mixtures = (self._others if i else self._first for i in range(len(decoded)))
        return np.concatenate(
            [
                mixture.rows_of(one.subwords, one.probabilities**INVERSE_TEMPERATURE)
                for mixture, one in zip(mixtures, decoded, strict=True)
            ]
        )


class SpeechConnector:
    """Latents (T, 768) -> rows (n, n_embd) of what was said, n may be 0.

    `task_prefix_rows` (k, n_embd) stand between spoken words and a typed request about them: without these rows a small
    backbone answers the spoken words instead of, say, repeating them.
    """

    def __init__(
        self,
        prefix_path: Path | None,
        decoder: SoftDecoder,
        subwords: Sequence[str],
        backbone: TokenRowSource,
        space: str,
    ) -> None:
        """`prefix_path` (npz) holds the task prefix rows, learned for the backbone that `space` names; without it they
        are the token rows of PLAIN_PREFIX, which any backbone reads.

        Raises ModelError: CORRUPT, TOO_LARGE, WRONG_SPACE.
        """
        if prefix_path is None:
            self.task_prefix_rows, trained_for = backbone.token_rows(backbone.tokenize(PLAIN_PREFIX)), space
        else:
            self.task_prefix_rows, trained_for = read_task_prefix(prefix_path)
        if trained_for != space:
            raise ModelError(
                Reason.WRONG_SPACE, f"{prefix_path}: learned for the backbone {trained_for!r}, this is {space!r}"
            )
        self._decoder, self._subwords = decoder, subwords
        self._mixture = SubwordMixture(subwords, backbone)
        self._pauses = {i for i, text in enumerate(subwords) if not text.strip(PUNCTUATION)}
        self.width, self.space = decoder.width, decoder.space

    def with_token_rows(self, backbone: TokenRowSource) -> SpeechConnector:
        """The same connector with the token rows of another file (quantization) of the same backbone."""
        other = copy(self)
        other._mixture = SubwordMixture(self._subwords, backbone)
        return other

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Returns the rows of what was said, none where nobody speaks. Raises ModelError(WRONG_SPACE).

        `companion` is accepted as by every connector and not used.
        """
        del companion
        return self.rows(self.decode(latents))

    def decode(self, latents: Latents) -> list[SoftSubword]:
        """What was said as soft sub-words, none where nobody speaks. Raises ModelError(WRONG_SPACE)."""
        decoded = self._decoder.decode(latents) if len(latents.data) >= MIN_LATENTS else []
        return decoded if self.is_speech(decoded) else []

    def rows(self, decoded: Sequence[SoftSubword]) -> Float32Array:
        """The rows of soft sub-words, as this connector's backbone spells them."""
        return frozen(self._mixture.rows(decoded)) if decoded else self.task_prefix_rows[:0]

    def text(self, latents: Latents) -> str:
        """The likeliest sub-words of what was said, for people to read; "" where nobody speaks. The backbone never
        reads this: it gets `apply`, which keeps the other candidates. Raises ModelError(WRONG_SPACE).
        """
        return "".join(self._subwords[int(one.subwords[0])] for one in self.decode(latents)).strip()

    def is_speech(self, decoded: Sequence[SoftSubword]) -> bool:
        """Whether the decoder is certain enough that somebody speaks, and that it is no sound that resembles speech."""
        certain = [float(one.probabilities[0]) for one in decoded if int(one.subwords[0]) not in self._pauses]
        return bool(certain) and sum(certain) / len(certain) >= MIN_CERTAINTY


def read_task_prefix(path: Path) -> tuple[Float32Array, str]:
    """The rows before a typed request (k, n_embd) and the backbone they were learned for.

    Raises ModelError: CORRUPT, TOO_LARGE.
    """
    if path.stat().st_size > MAX_ROWS_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_ROWS_BYTES:,} bytes")
    try:
        with np.load(path, allow_pickle=False) as file:  # the artifacts call the rows "about"
            rows, space = np.ascontiguousarray(file["about"], np.float32), str(file["space"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not the rows before a request: {error}") from error
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ModelError(Reason.CORRUPT, f"{path}: rows of {rows.shape}, or not finite")
    return frozen(rows), space
