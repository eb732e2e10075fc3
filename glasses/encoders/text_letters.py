"""Letters of a line of text from the recognizer's probabilities, in the script that the line is written in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array

Script = Literal["latin", "greek", "chinese", "unknown"]
BLANK = 0  # the first column: no letter
GREEK_SHARE = 0.15  # of Greek letters in a line: then its o and v are Greek, too, whatever they look like
CHINESE_SHARE = 0.4  # of Chinese characters; fewer among Latin letters are misread
KEPT_SHARE = 0.6  # of letters that are left when those of other scripts are gone; with less it is neither
_UNLIKE = 0.01  # what is left of a letter of another script
# Letters that a Greek line is read as. The recognizers know Greek letters without accents only.
_LATIN = "AÁBEÉZHIÍKMNOÓPTYÝXaáeéiíkoóuúüvpxwnńyýςs三Ξ△∑∏"
_GREEK = "ΑΆΒΕΈΖΗΙΊΚΜΝΟΌΡΤΥΎΧαάεέιίκοόυύϋνρχωηήγύςσΞΞΔΣΠ"
_TWINS = str.maketrans(_LATIN, _GREEK)
# A capital or digit inside a word: few in any language, many where Cyrillic letters are taken for Latin ones.
_SWITCH = re.compile(r"(?<=[a-z\u00df-\u00ff])[A-Z]|[A-Z](?=[A-Z][a-z])|(?<=[^\W\d_])\d(?=[^\W\d_])")
_MOST_SWITCHES = 1  # McDonald's
_LETTERS_BY_SWITCH = 7  # fewer letters to each switch are no language, but some names: eBay, PayPal
_SURELY_LATIN = 0.96  # such names are read with more, Cyrillic letters with less


@dataclass(frozen=True, slots=True, eq=False)
class ReadLetters:
    """What a line says. `sureness`: mean probability of its letters, 0 where there are none. `letters` (T, C): their
    probabilities, those of other scripts than the line's made small.
    """

    text: str
    sureness: float
    letters: Float32Array
    script: Script


class Alphabet:
    """The letter of each column of a recognizer's output; the first is "", none."""

    def __init__(self, letters: Sequence[str]) -> None:
        self.letters = tuple(letters)
        scripts = np.array([_script_of(letter) for letter in self.letters])
        self._latin, self._greek, self._chinese = (scripts == one for one in ("latin", "greek", "chinese"))
        self._twins = np.array([letter in _LATIN for letter in self.letters])

    def read(self, letters: Float32Array) -> ReadLetters:
        """A line from its probabilities (T, C).

        The recognizer reads each letter by itself, and many letters of two alphabets look the same, so the line is read
        again as of one script.
        """
        best = letters.argmax(axis=1)
        n_greek, n_chinese = int(self._greek[best].sum()), int((self._chinese & ~self._twins)[best].sum())
        n = max(int(self._latin[best].sum()) + n_greek + n_chinese, 1)
        raw, sureness = self._spelled(letters)
        if n_chinese / n >= CHINESE_SHARE and n_greek / n < GREEK_SHARE:
            return ReadLetters(raw, sureness, letters, "chinese")
        is_greek = n_greek / n >= GREEK_SHARE
        others = (self._chinese | self._latin) & ~self._twins if is_greek else self._chinese | self._greek
        likely = np.where(others, letters * np.float32(_UNLIKE), letters)
        likely = np.asarray(likely / likely.sum(axis=1, keepdims=True), np.float32)
        text, sureness = self._spelled(likely)
        if is_greek:
            return ReadLetters(_greek(text), sureness, likely, "greek")
        is_unknown = len(text.strip()) < KEPT_SHARE * len(raw.strip()) or (sureness < _SURELY_LATIN and is_odd(raw))
        return ReadLetters(text, sureness, likely, "unknown" if is_unknown else "latin")

    def code_points(self, script: Script) -> NDArray[np.int32]:
        """Of the letters (C,), as they are written in a line of this script; 0 for none."""
        letters = [one.translate(_TWINS) if script == "greek" else one for one in self.letters]
        return np.array([ord(letter) if letter else 0 for letter in letters], np.int32)

    def _spelled(self, letters: Float32Array) -> tuple[str, float]:
        best = letters.argmax(axis=1)
        begins = (best != BLANK) & np.append(True, best[1:] != best[:-1])
        text = "".join(self.letters[i] for i in best[begins])
        return text, float(letters.max(axis=1)[begins].mean()) if begins.any() else 0.0


def _greek(text: str) -> str:
    """A Greek line whose letters may be those of other alphabets that look the same."""
    text = re.sub(r"(?<=[^\W\d])0|0(?=[^\W\d])", "θ", text.translate(_TWINS))
    words = [one if one.isupper() else one[:1] + one[1:].lower() for one in text.split(" ")]
    return re.sub(r"\u03c3\b", "\u03c2", " ".join(words))  # the sigma at the end of a word


def _script_of(letter: str) -> str:
    """The script of a letter; "any" for digits, signs, and none."""
    if not letter or not letter.isalpha():
        return "chinese" if letter and ord(letter) >= 0x3000 else "any"
    name = unicodedata.name(letter, "")
    return "latin" if name.startswith("LATIN") else "greek" if name.startswith("GREEK") else "chinese"


def is_odd(text: str) -> bool:
    """Whether a line is in letters that the recognizer does not know and takes for Latin ones."""
    n_switches, n_letters = len(_SWITCH.findall(text)), sum(map(str.isalpha, text))
    return n_switches > _MOST_SWITCHES and n_letters < _LETTERS_BY_SWITCH * n_switches
