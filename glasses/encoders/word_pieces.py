"""WordPiece tokens of uncased BERT models: small letters without accents, split at spaces and signs, then into the
longest parts that the vocabulary has. As in google-research/bert, tokenization.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

MAX_WORD = 100  # characters; a longer one is unknown


class WordPieces:
    """Text -> ids of a vocabulary that has one token a line."""

    def __init__(self, vocabulary: Path) -> None:
        """Raises OSError, KeyError where it lacks BERT's own tokens."""
        lines = vocabulary.read_text(encoding="utf-8").splitlines()
        self._ids = {token: i for i, token in enumerate(lines)}
        self._unknown, self._first, self._last = (self._ids[name] for name in ("[UNK]", "[CLS]", "[SEP]"))

    def ids_of(self, text: str, most: int) -> list[int]:
        """The ids of `text` between BERT's first and last token; what is beyond `most` ids in all is left out."""
        ids = [self._first]
        for word in _words(text):
            ids += self._parts(word)
            if len(ids) >= most - 1:
                break
        return [*ids[: most - 1], self._last]

    def _parts(self, word: str) -> list[int]:
        parts: list[int] = []
        start = 0
        while start < len(word) <= MAX_WORD:
            mark = "##" if start else ""
            end = next((i for i in range(len(word), start, -1) if mark + word[start:i] in self._ids), None)
            if end is None:
                return [self._unknown]
            parts.append(self._ids[mark + word[start:end]])
            start = end
        return parts or [self._unknown]


def _words(text: str) -> Iterator[str]:
    """Small letters without accents; signs and Chinese characters stand alone."""
    word = ""
    for char in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(char)
        if kind == "Mn" or (kind[0] == "C" and char not in "\t\n\r"):  # accents, control characters
            continue
        alone = _is_sign(char, kind) or 0x4E00 <= ord(char) <= 0x9FFF
        if word and (alone or char.isspace()):
            yield word
            word = ""
        if alone:
            yield char
        elif not char.isspace():
            word += char
    if word:
        yield word


def _is_sign(char: str, kind: str) -> bool:
    return kind[0] == "P" or (char.isascii() and not char.isalnum() and not char.isspace())
