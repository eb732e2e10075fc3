"""From a turn's rows to a tool's arguments: the wearer's own words, found where they stand.

What a kind's reader does not understand (glasses.tools.readers) is no argument of it; what is not there is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError
from glasses.tools import readers, spans, written
from glasses.tools.kinds import Argument, arguments_of
from glasses.tools.said import SaidWord, Speller
from glasses.tools.spans import Span, SpanHeads
from glasses.tools.tool import Tool
from glasses.tools.zones import last_part
from glasses.types import Float32Array

MAX_ROWS = 160  # of a turn: what is more than a minute of speech is no request
_HEAD_OF = {"morning": "when", "day": "when", "zone": "place"}
_PIECES = {"when": 2, "morning": 2}  # "every Monday ... at ten" stands in two places
_GROWS = ("duration", "expression", "when", "morning", "day", "amount")  # the longest that is understood is meant
_BEST = 24  # spans that are read, of a kind with a reader
_ROOM = 32  # rows of the context that must be left behind the request's
_READ_SCORE = -2.0  # what the heads must say of words that are needed or that a reader understands; of others 0
_LONGEST = 12  # words in a span that only its reader recognizes


@dataclass(slots=True)
class _Sentence:
    """The words, their features, and which of them are an argument already."""

    said: Sequence[SaidWord]
    heads: SpanHeads | None
    features: Float32Array
    changes: dict[str, float] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def text(self, span: Span) -> str:
        return " ".join(word.text for word in self.said[span.first : span.last + 1])

    def is_free(self, span: Span) -> bool:
        return self.taken.isdisjoint(range(span.first, span.last + 1))

    def take(self, found: Sequence[Span]) -> None:
        for span in found:
            self.taken.update(range(span.first, span.last + 1))


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    spans: tuple[Span, ...]


class ArgumentReader:
    """Belongs to the thread of its backbone."""

    def __init__(self, backbone: LlamaBackbone, heads: Path | None, now: Callable[[], datetime] = datetime.now) -> None:
        """`heads` are those of the backbone (glasses.tools.spans); without them only what a reader recognizes by
        itself is found. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE.
        """
        self._backbone, self._now = backbone, now
        self._heads = spans.load(heads, backbone.sha256[:16]) if heads else None
        self._speller = Speller(backbone)

    def prepare(self) -> None:
        """Does now what would make the first `read` slow. Any thread may call it."""
        self._speller.prepare()
        readers.prepare()

    def words(self, rows: Float32Array) -> list[SaidWord]:
        """The words that `rows` float32 (n, n_embd) spell, at most those of the last MAX_ROWS."""
        first = max(0, len(rows) - MAX_ROWS)
        return [SaidWord(one.text, one.first + first, one.last + first) for one in self._speller.words(rows[first:])]

    def read(self, tool: Tool, rows: Float32Array) -> dict[str, Any]:
        """The arguments of `tool` in `rows` float32 (n, n_embd), which are in the KV cache with the suffix behind them.

        What is not found is left out. The cache is afterwards as it was. Raises ModelError as the backbone does.
        """
        wanted = arguments_of(tool.arguments)
        if not wanted:
            return {}
        rows = rows[-MAX_ROWS:]
        if any(one.type == "other" and one.required and not one.kind for one in wanted):
            return written.write(self._backbone, tool, rows)
        said = self._speller.words(rows)
        if not said:
            return {}
        has_room = self._backbone.n_past + len(rows) + _ROOM <= self._backbone.n_ctx
        if self._heads is None or not has_room:
            return self._without_heads(tool, wanted, rows, said)
        changes: dict[str, float] = {}
        if any(set(spans.CHANGES) <= set(one.choices) for one in wanted):
            what = tool.name.rpartition("_")[2]
            changes = self._heads.score_changes(spans.change_features(self._backbone, rows, what))
        features = spans.word_features(self._backbone, rows, said)
        return self._fill(wanted, _Sentence(said, self._heads, features, changes))

    def _without_heads(
        self, tool: Tool, wanted: Sequence[Argument], rows: Float32Array, said: Sequence[SaidWord]
    ) -> dict[str, Any]:
        """What readers recognize; of other arguments that are needed what the backbone writes, if they are words that
        were said.
        """
        out = self._fill(wanted, _Sentence(said, None, rows[:0]))
        needed = {one.name: one for one in wanted if one.required and one.name not in out and not _is_read(one)}
        text = f" {' '.join(readers.bare(word.text).lower() for word in said)} "
        for name, value in written.write(self._backbone, tool, rows).items() if needed else ():
            if name in needed and (value in needed[name].choices or f" {str(value).lower().strip('.')} " in text):
                out[name] = value
        return out

    def _fill(self, wanted: Sequence[Argument], sentence: _Sentence) -> dict[str, Any]:
        """The surest argument first, those with a reader before all others; no word is part of two."""
        out: dict[str, Any] = {}
        for one in wanted:
            if (one.type in ("bool", "choice")) and (value := self._asked(one, sentence)) is not None:
                out[one.name] = value
        left = [one for one in wanted if one.type not in ("bool", "choice") and one.kind]
        while found := [(one, has) for one in left if (has := self._find(one, sentence))]:
            best, has = max(found, key=lambda pair: (_is_read(pair[0]), pair[1].spans[0].score))
            out[best.name] = has.value
            sentence.take(has.spans)
            left.remove(best)
        return out

    def _asked(self, argument: Argument, sentence: _Sentence) -> Any:
        """The value of a choice: the one whose words are said, or "up", "down" and "all" in any words."""
        text = " ".join(readers.bare(word.text).lower() for word in sentence.said)
        for choice in sorted(map(str, argument.choices), key=len, reverse=True):
            if _is_said(choice, text) and (choice not in spans.CHANGES or sentence.heads is None):
                return next(one for one in argument.choices if str(one) == choice)
        if sentence.heads is None:
            return True if argument.name == "all" and re.search(r"\b(?:all|every|everything)\b", text) else None
        if argument.name == "all":
            is_all = re.search(r"\b(?:everything|all of (?:them|it))$", text) or (
                sentence.heads.score_all(sentence.features) > 0
            )
            return True if is_all else None
        scores = {one: score for one, score in sentence.changes.items() if one in argument.choices}
        best = max(scores, key=lambda one: scores[one], default=None)
        return best if best and scores[best] > 0 else None

    def _find(self, argument: Argument, sentence: _Sentence) -> _Found | None:
        """The best words of an argument among those that are no other's."""
        kind = _HEAD_OF.get(argument.kind or "", argument.kind)
        heads = sentence.heads
        if heads is None or kind not in heads.kinds:
            return self._recognized(argument, sentence, None)
        scores = heads.scores(str(kind), sentence.features)
        spans_ = [span for span in spans.ranked(scores) if sentence.is_free(span)]
        needed = _READ_SCORE if argument.required or _is_read(argument) else 0.0
        likely = [span for span in spans_[:_BEST] if span.score > needed]
        pieces = _apart(likely, _PIECES.get(argument.kind or "", 1))
        if len(pieces) > 1 and (found := self._read(argument, sentence, pieces)):
            return found
        for span in likely:
            if found := self._read(argument, sentence, [span]):
                return self._grown(argument, sentence, found)
        return self._recognized(argument, sentence, scores) if argument.required else None

    def _recognized(self, argument: Argument, sentence: _Sentence, scores: Float32Array | None) -> _Found | None:
        """The longest words that the kind's reader understands; of kinds without one none."""
        if not _is_read(argument):
            return None
        n = len(sentence.said)
        for length in range(min(n, _LONGEST), 0, -1):
            for first in range(n - length + 1):
                span = Span(0.0, first, first + length - 1)
                if sentence.is_free(span) and (found := self._read(argument, sentence, [span])):
                    return found
        return None

    def _grown(self, argument: Argument, sentence: _Sentence, found: _Found) -> _Found:
        """With the words before and after it, where the reader understands them as well and they change the value."""
        if argument.kind not in _GROWS:
            return found
        span = found.spans[0]
        reach = range(1, 5)
        wider = [Span(span.score, span.first - n, span.last) for n in reach if span.first - n >= 0]
        wider += [Span(span.score, span.first, span.last + n) for n in reach if span.last + n < len(sentence.said)]
        meant = readers.means(argument.kind, found.value, self._now())
        for one in wider:
            more = self._read(argument, sentence, [one]) if sentence.is_free(one) else None
            if more and readers.means(argument.kind, more.value, self._now()) != meant:
                return self._grown(argument, sentence, more)
        return found

    def _read(self, argument: Argument, sentence: _Sentence, found: Sequence[Span]) -> _Found | None:
        """The value of the words, None where the kind's reader refuses them."""
        in_order = sorted(found, key=lambda span: span.first)
        with suppress(InputError):
            value = readers.read(argument.kind, " ".join(map(sentence.text, in_order)), self._now())
            return _Found(value, tuple(found))
        return None


def _is_said(choice: str, text: str) -> bool:
    """In whole, or by the last part of a name such as Europe/Madrid."""
    ways = {choice.lower().replace("_", " "), last_part(choice)} - {""}
    return any(re.search(rf"\b{re.escape(way)}\b", text) for way in ways)


def _is_read(argument: Argument) -> bool:
    return argument.kind in readers.READERS


def _apart(likely: Sequence[Span], n: int) -> list[Span]:
    """The best spans that do not overlap, at most `n`."""
    out: list[Span] = []
    for span in likely:
        if len(out) < n and all(span.last < one.first or span.first > one.last for one in out):
            out.append(span)
    return out
