"""What a case of the wild corpus is, and where all of them are found."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The kinds of fault, each with the mechanism whose mending removes it. A case names one by its number.
KINDS = {
    1: "a request is not tied to its client",
    2: "no fair use of the one worker, no limits at the door",
    3: "a turn is opened by anybody after a reply",
    4: "silence goes into the recogniser",
    5: "a predictable file in a shared folder",
    6: "promised before the surroundings are checked",
    7: "an error that the outer handler does not know",
    8: "a field that is accepted and ignored, or refused though clients always send it",
    9: "Ctrl-C is lost, or ends in a traceback",
    10: "nobody asks whether there is anything in the picture",
    11: "turning upright depends on the decoder",
    12: "two readers must both like a file",
    13: "a header's length outranks the bytes",
    14: "bytes that are no UTF-8",
    15: "a wire that assumes a perfect peer",
    16: "channels are averaged",
    17: "only our own writer's containers are read",
    18: "Base64 and data URLs are read by the letter",
    19: "Host and Origin are not checked, or not in words",
    20: "what is read aloud loses its meaning",
    21: "signals half handled",
    22: "names match anywhere",
    23: "the command line's messages reach chat clients",
    24: "native libraries talk to the wearer",
    25: "a piece of text ends within a character",
    26: "proxies and locals",
    27: "a listing writes",
    28: "a line of the README does not run as printed",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One input or habit from the wild.

    `came(folder)` does it in an empty folder and returns what came, in words. It is right where the regular expression
    `right` is found in that (case and line ends do not matter). `is_listed` tells those of the list we were given from
    neighbours of our own. `marks` are pytest's markers beyond `models`. `why_not` is for a case that is known to come
    out wrong: the reason, which the table prints.
    """

    kind: int
    name: str
    right: str
    came: Callable[[Path], str]
    is_listed: bool = False
    marks: tuple[str, ...] = ()
    why_not: str = ""

    def is_right(self, came: str) -> bool:
        return re.search(self.right, came, re.IGNORECASE | re.DOTALL) is not None


def all_cases() -> list[Case]:
    """The CASES of every module `cases_*.py` beside this one, by kind."""
    import tests.wild as folder  # noqa: PLC0415  # a namespace package: its path is known once it is imported

    found: list[Case] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name.startswith("cases_"):
            found += importlib.import_module(f"tests.wild.{module.name}").CASES
    names = [case.name for case in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"two cases have one name: {twice}"
    return sorted(found, key=lambda case: (case.kind, not case.is_listed))
