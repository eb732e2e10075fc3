"""Is text in view read, and are questions about it answered? models/eval/text/README.md says what counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from glasses.encoders.text import TextEncoder
from glasses.evaluation.speech import edits
from glasses.evaluation.subset import spread
from glasses.evaluation.text_views import SignQuestion, TextView, line_views, sign_questions, sign_view
from glasses.types import Latents, UInt8Array

Answer = Callable[[list[str | Latents]], str]
EncodePicture = Callable[[UInt8Array], Sequence[Latents]]


def read_lines(
    encoder: TextEncoder, tick: Callable[[], None] = lambda: None, *, limit: int | None = None
) -> dict[str, Any]:
    """`exact`: share of lines read exactly, and nothing beside them, also by `how` they are shown and by language;
    `found`: share of lines read exactly, whatever else was read in the photograph; `character error rate`; `missed`:
    what was read instead.
    """
    marks: list[tuple[TextView, bool, int]] = []
    missed, n_found = dict[str, str](), 0
    for view in line_views(limit=limit):
        lines = [line.text for line in encoder.read(view.rgb)]
        read = " ".join(lines)
        exact = _bare(read) == _bare(view.text)
        n_found += exact or any(_bare(line) == _bare(view.text) for line in lines)
        if not exact:
            missed[f"{view.how}, {view.language}: {view.text}"] = read
        marks.append((view, exact, edits(list(_plain(view.text)), list(_plain(read)))))
        tick()

    def share(of: Sequence[bool]) -> float:
        return sum(of) / len(of)

    hows, languages = (dict.fromkeys(getattr(view, by) for view, *_ in marks) for by in ("how", "language"))
    return {
        "lines": len(marks),
        "exact": share([exact for _, exact, _ in marks]),
        "found": n_found / len(marks),
        "character error rate": sum(wrong for *_, wrong in marks) / sum(len(_plain(view.text)) for view, *_ in marks),
        "how": {how: share([exact for view, exact, _ in marks if view.how == how]) for how in hows},
        "languages": {one: share([exact for view, exact, _ in marks if view.language == one]) for one in languages},
        "missed": missed,
    }


def ask_signs(encode: EncodePicture, answer: Answer, *, limit: int | None = None) -> dict[str, Any]:
    """`right`: share of questions about signs answered rightly; `chance`: where each is asked about another sign;
    `text_only`: without any picture.
    """
    asked = spread(sign_questions(), limit)
    latents = {i: list(encode(sign_view(i))) for i in dict.fromkeys(one.sign for one in asked)}
    others = dict(zip(latents, [*list(latents.values())[1:], *list(latents.values())[:1]], strict=True))
    told = {one: answer([*latents[one.sign], one.question]) for one in asked}
    right = {one: is_right(one, said) for one, said in told.items()}
    kinds = dict.fromkeys(one.kind for one in asked)
    return {
        "questions": len(asked),
        "right": sum(right.values()) / len(asked),
        "kinds": {
            kind: sum(right[one] for one in asked if one.kind == kind) / sum(one.kind == kind for one in asked)
            for kind in kinds
        },
        "chance": sum(is_right(one, answer([*others[one.sign], one.question])) for one in asked) / len(asked),
        "text_only": sum(is_right(one, answer([one.question])) for one in asked) / len(asked),
        "wrong": {f"{one.sign}: {one.question}": told[one] for one in asked if not right[one]},
    }


def is_right(question: SignQuestion, answer: str) -> bool:
    """Whether the answer holds an accepted text as whole words, and none of the others."""
    return _holds(answer, question.accept) and not _holds(answer, question.wrong)


def _holds(answer: str, texts: Sequence[str]) -> bool:
    said = answer.lower().replace(",", ".")
    return any(re.search(rf"(?<![\w.:]){re.escape(text.lower())}(?![\w]|[.:]\d)", said) for text in texts)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _bare(text: str) -> str:
    return "".join(text.casefold().split())
