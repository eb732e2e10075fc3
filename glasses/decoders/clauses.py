"""Splits streamed text into clauses, each as early as it is safe to speak.

A clause ends at a pause mark that white space follows, so numbers (3.5, 1,000), times (10:30), addresses and domain
names stay whole; at a line's end; or after so many words when no mark comes. The first clause is short, because it
is what the wearer waits for; later ones are longer, because a voice sounds better on longer stretches. English rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

FIRST_WORDS = 4  # about a second of speech, in which the next clause gets ready
MOST_WORDS = 12  # bounds the memory and delay of one synthesis
_LEAST_WORDS = 4  # a comma ends a later clause only if it has this many
_MAX_CHARS = 400  # cut whatever it is: an endless "word" must not wait for ever
_CLOSERS = "\"'\u201d\u2019)]}*_"
_SENTENCE_END = re.compile(rf"[.!?…]+[{re.escape(_CLOSERS)}]*$")
_PAUSE = re.compile(rf"(?:[,;:][{re.escape(_CLOSERS)}]*|[\u2013\u2014])$")
_ABBREVIATION = re.compile(
    r"^[(\[\"'\u201c\u2018]*(?:(?:[A-Za-z]\.)+|(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|approx|dept|fig|est|inc|ltd|co|mt|capt|gen"
    r"|sgt|rev|hon|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|cf|al|ft|lb|oz|min|max|ave|blvd|rd|vol|pp)\.)$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^\(?\d{1,3}[.)]$")
# A clause that is cut because no mark came never ends with one of these.
_LEANS_ON_NEXT = frozenset(
    re.findall(
        r"\w+",
        """a an the of to in on at by for from with and or but nor as is are was were be been am has have had do does
        did not this that these those my your his her its our their i you he she it we they who which what when
        where if than can could will would shall should may might must very more most about into over under between""",
    )
)


class ClauseSplitter:
    """`feed` text as it comes; each call returns the clauses it completed. `flush` returns the rest.

    The clauses, joined by single spaces, are the text with its white space runs made single spaces, and one put into a
    "word" of more than 400 characters.
    """

    def __init__(self) -> None:
        self._open = ""  # the word being received: no white space seen after it yet
        self._words: list[str] = []  # complete words of the clause being built
        self._first = True

    def feed(self, text: str) -> list[str]:
        """The clauses that `text` completed, often none."""
        done: list[str] = []
        for char in text:
            if not char.isspace():
                self._open += char
                if len(self._open) >= _MAX_CHARS:
                    self._end_word(done)
                    self._cut(len(self._words), done)
                continue
            self._end_word(done)
            if char == "\n":
                self._cut(len(self._words), done)
        return done

    def flush(self) -> list[str]:
        """The clauses that were waiting for more text; after it the splitter is as new."""
        done: list[str] = []
        self._end_word(done)
        self._cut(len(self._words), done)
        self._first = True
        return done

    def _end_word(self, done: list[str]) -> None:
        if not self._open:
            return
        self._words.append(self._open)
        self._open = ""
        count = len(self._words)
        if self._ends_clause():
            self._cut(count, done)
        elif count >= (FIRST_WORDS if self._first else MOST_WORDS):
            while count > 2 and self._words[count - 1].lower() in _LEANS_ON_NEXT:
                count -= 1
            self._cut(count, done)

    def _ends_clause(self) -> bool:
        word, count = self._words[-1], len(self._words)
        if _SENTENCE_END.search(word):
            return not (_ABBREVIATION.match(word) or (count == 1 and _LIST_NUMBER.match(word)))
        return bool(_PAUSE.search(word)) and (self._first or count >= _LEAST_WORDS)

    def _cut(self, count: int, done: list[str]) -> None:
        if count:
            done.append(" ".join(self._words[:count]))
            self._words = self._words[count:]
            self._first = False


def clauses(texts: Iterable[str]) -> Iterator[str]:
    """The clauses of streamed `texts`, each as soon as it is complete."""
    splitter = ClauseSplitter()
    for text in texts:
        yield from splitter.feed(text)
    yield from splitter.flush()
