"""The text connector: soft letters of what is in view -> soft tokens that spell it as the backbone spells text.

A word whose letters are in doubt is not decided by the letters alone. Each of its spellings is tokenized as the
backbone would; its vocabulary knows words, so a spelling of few tokens is likelier than one of many. What is then
still in doubt stays so: the rows are the mean of the spellings' tokens, weighted by how likely each is.

The rows need no training for a backbone: they are its own token embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from glasses.connectors.letter_beam import Spelling, words_of
from glasses.connectors.pooled import check_space
from glasses.connectors.question_kind import QuestionKind
from glasses.connectors.soft_tokens import read
from glasses.connectors.token_mixture import TokenRowSource
from glasses.errors import InputError, Reason
from glasses.media.letters import SPACE, WIDTH, SoftLine, unpacked
from glasses.types import Float32Array, Latents, frozen

BESIDE = " "  # between lines that stand beside each other, before the space of the next word
BELOW = "\n"
TOKEN_COST = 1.5  # nats for each token of a spelling; from 0.6 to 3 as many lines of 150 are read rightly
INVERSE_TEMPERATURE = 4  # power of the probabilities before rows are mixed, as in speech.py
MAX_ROWS = 480  # of one picture: about a page, and a quarter of the context; what is below is left out


class TextConnector:
    """Latents (T, letters.WIDTH) -> rows (n, n_embd): the wording before the text, the text, the wording after it."""

    def __init__(self, wording: Path, backbone: TokenRowSource) -> None:
        """`wording` (JSON) holds what stands `before` and `after` the text, and questions about text and pictures.

        Raises ModelError: TOO_LARGE, CORRUPT.
        """
        table = read(wording, {"before", "after", "about_text", "about_picture"})
        self._before, self._after = str(table["before"]), str(table["after"])
        self._about_text = QuestionKind(table["about_text"], table["about_picture"], backbone)
        self._backbone = backbone
        self.width, self.space = WIDTH, SPACE

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Returns the rows, none where there is no text. Raises ModelError(WRONG_SPACE), InputError(BAD_INPUT).

        `companion` is accepted as by every connector and not used.
        """
        del companion
        check_space(latents, self.space)
        try:
            lines = unpacked(latents.data)
        except ValueError as error:
            raise InputError(Reason.BAD_INPUT, str(error)) from error
        words = np.concatenate([self._plain(""), *self._words(lines)])
        if not len(words):
            return frozen(words)
        return frozen(np.concatenate([self._plain(self._before), words[:MAX_ROWS], self._plain(self._after)]))

    def is_about_text(self, rows: Float32Array) -> bool:
        """Whether rows (n, n_embd) of a request ask for something that is written, rather than for what is in view."""
        return self._about_text.is_asked(rows)

    def _words(self, lines: Sequence[SoftLine]) -> Iterator[Float32Array]:
        """The rows of each word, and of what stands between lines."""
        row: int | None = None
        for line in lines:
            is_first = line.row != row
            if row is not None:
                yield self._plain(BELOW if is_first else BESIDE)
            row = line.row
            for i, word in enumerate(words_of(line)):
                yield self._word(word, begins=is_first and i == 0)

    def _word(self, word: Sequence[Spelling], *, begins: bool) -> Float32Array:
        """The soft tokens of one word; `begins`: a line, where it has no space before it."""
        spelled = [self._tokens(one.text if begins else f" {one.text}") for one in word]
        scores = [
            math.log(one.probability + 1e-12) - TOKEN_COST * len(ids) for one, ids in zip(word, spelled, strict=True)
        ]
        best = max(range(len(word)), key=lambda i: scores[i])
        alike = [i for i, ids in enumerate(spelled) if len(ids) == len(spelled[best])]
        weights = np.array([math.exp(scores[i] - scores[best]) for i in alike], np.float32) ** INVERSE_TEMPERATURE
        rows = np.stack([self._backbone.token_rows(spelled[i]) for i in alike])
        return np.einsum("i,ijk->jk", weights / weights.sum(), rows).astype(np.float32)

    def _plain(self, text: str) -> Float32Array:
        return self._backbone.token_rows(self._tokens(text) if text else [])

    def _tokens(self, text: str) -> list[int]:
        return self._backbone.tokenize(text, special=False)
