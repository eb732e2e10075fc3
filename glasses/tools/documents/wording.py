"""Words of a question that tell what it is about."""

from __future__ import annotations

import re

MAX_WORDS = 24
# Words that ask, join or point, and the names of what is searched: they tell nothing about what is looked for.
_STOP = frozenset(
    """a about all also am an and any are as ask at be been but by can could did do does document documents file files
    for from get give had has have he her his how i if in into is it its know let like look long many may me mine
    much must my need note notes of on or our please s say says search she should so tell than that the their them
    then there these they this those to up us very was we were what whats when where which who whom whose why will
    with would you your find something anything everything read out shall t don im ive theres where's paper papers
    written wrote mention mentions mentioned""".split()
)


def query_of(question: str) -> list[str]:
    """The telling words of a question in small letters, each once; all of its words where none is telling."""
    words = [word for word in re.findall(r"[^\W_]+(?:[.,:]\d+)*", question.lower()) if len(word) > 1 or word.isdigit()]
    telling = [word for word in words if word not in _STOP]
    return list(dict.fromkeys(telling))[:MAX_WORDS]
