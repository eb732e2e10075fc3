"""The speech half of the audio connector: encoder latents -> near-word latents for one backbone.

A listener hears pieces of words, each as a distribution; here they become rows of the backbone: the token rows of the
likeliest pieces, as the backbone spells them, averaged under that distribution. No token is ever chosen: where the
listener wavers between two words, the backbone is given the point between them and decides with its own context.
Nothing stands around them: what is asked aloud is read as what is typed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np

from glasses.connectors.soft_decoder import DecodedSpeech, SoftDecoder
from glasses.connectors.soft_tokens import TokenMixture, TokenRowSource
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Latents, frozen

MIN_LATENTS = 4  # fewer are too short for a word
CERTAIN = 0.4  # share of pieces expected to be right, below which it is no speech; of training clips 97% have more
# Power of the shares before rows are mixed. A point half-way between two words means little to a small backbone: of 110
# training questions 44 are answered as typed with 1, 48 with 2, 55 with 4, 53 with 8.
SHARPNESS = 4
CLOSING = ".,;:?!-\"' "  # a mark alone is a pause
MAX_ROWS_BYTES = 4 << 20


class SoftTokens:
    """What was heard as rows of a backbone: `pieces` are their texts, by number."""

    def __init__(self, pieces: Sequence[str], backbone: TokenRowSource) -> None:
        # The first is written as at the start of typed text, without the space that pieces begin with.
        starts = [text.lstrip() for text in pieces]
        self._first, self._others = (TokenMixture(texts, backbone) for texts in (starts, pieces))

    def rows(self, heard: Sequence[DecodedSpeech]) -> Float32Array:
        """Rows (n, n_embd) of one piece and more."""
        spellings = (self._others if i else self._first for i in range(len(heard)))
        return np.concatenate(
            [by.mixed(one.pieces, one.shares**SHARPNESS) for by, one in zip(spellings, heard, strict=True)]
        )


class SpeechConnector:
    """Latents (T, 768) -> rows (n, n_embd) of what was said, n may be 0.

    `about` (k, n_embd) are rows that stand between them and a typed request: without them a small backbone takes what
    is to be repeated for something to be answered.
    """

    def __init__(
        self, about: Path, listener: SoftDecoder, pieces: Sequence[str], backbone: TokenRowSource, space: str
    ) -> None:
        """`about` (npz) holds those rows, learned for the backbone that `space` names.

        Raises ModelError: CORRUPT, TOO_LARGE, WRONG_SPACE.
        """
        self.about, of = read_about(about)
        if of != space:
            raise ModelError(Reason.WRONG_SPACE, f"{about}: learned for the backbone {of!r}, this is {space!r}")
        self._listener, self._pieces = listener, pieces
        self._soft = SoftTokens(pieces, backbone)
        self._closing = {i for i, text in enumerate(pieces) if not text.strip(CLOSING)}
        self.width, self.space = listener.width, listener.space

    def spelled_by(self, backbone: TokenRowSource) -> SpeechConnector:
        """The same for another file of the backbone that the rows around were learned for, with its own token rows."""
        other = copy(self)
        other._soft = SoftTokens(self._pieces, backbone)
        return other

    def apply(self, latents: Latents) -> Float32Array:
        """Returns the rows for what was said, none where nobody speaks. Raises ModelError(WRONG_SPACE)."""
        heard = self._listener.hear(latents) if len(latents.data) >= MIN_LATENTS else []
        if not self.is_speech(heard):
            return self.about[:0]
        return frozen(self._soft.rows(heard))

    def is_speech(self, heard: Sequence[DecodedSpeech]) -> bool:
        """Whether so much of it is likely to be right that somebody speaks, and not some thing that sounds like it."""
        certain = [float(one.shares[0]) for one in heard if int(one.pieces[0]) not in self._closing]
        return bool(certain) and sum(certain) / len(certain) >= CERTAIN


def read_about(path: Path) -> tuple[Float32Array, str]:
    """The rows before a typed request (k, n_embd) and the backbone they were learned for.

    Raises ModelError: CORRUPT, TOO_LARGE.
    """
    if path.stat().st_size > MAX_ROWS_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_ROWS_BYTES:,} bytes")
    try:
        with np.load(path, allow_pickle=False) as file:
            about, space = np.ascontiguousarray(file["about"], np.float32), str(file["space"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not the rows before a request: {error}") from error
    if about.ndim != 2 or not np.isfinite(about).all():
        raise ModelError(Reason.CORRUPT, f"{path}: rows of {about.shape}, or not finite")
    return frozen(about), space
