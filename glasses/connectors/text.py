"""The text connector: soft letters of what is in view -> rows of the backbone that spell it.

The rows need no training for a backbone: they are its own token embeddings, and the text is tokenized as a whole, as
typed text is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.connectors.pooled import check_space
from glasses.connectors.soft_tokens import read
from glasses.connectors.token_mixture import TokenRowSource
from glasses.errors import InputError, Reason
from glasses.media.letters import NONE, SPACE, WIDTH, SoftLine, unpacked
from glasses.types import Float32Array, Latents, frozen

BESIDE = "  "  # between lines that stand beside each other
BELOW = "\n"


class TextConnector:
    """Latents (T, letters.WIDTH) -> rows (n, n_embd): the wording before the text, the text, the wording after it."""

    def __init__(self, wording: Path, backbone: TokenRowSource) -> None:
        """`wording` (JSON) holds what stands `before` and `after` the text. Raises ModelError: TOO_LARGE, CORRUPT."""
        around = read(wording, {"before", "after"})
        self._before, self._after = str(around["before"]), str(around["after"])
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
        text = self._before + text_of(lines) + self._after if lines else ""
        return frozen(self._backbone.token_rows(self._backbone.tokenize(text, special=False) if text else []))


def text_of(lines: list[SoftLine]) -> str:
    """The likeliest letters, for people to read: a line of text for each row."""
    out = ""
    for before, line in zip([None, *lines], lines, strict=False):
        out += "" if before is None else BESIDE if before.row == line.row else BELOW
        out += likeliest(line)
    return out


def likeliest(line: SoftLine) -> str:
    """The likeliest letter of each step of a line, the same letter in adjoining steps once."""
    best = line.letters[:, 0]
    begins = (best != NONE) & np.append(True, best[1:] != best[:-1])
    return "".join(chr(point) for point in best[begins]).strip()
