"""Ctrl-C, TERM and HUP at a few moments of each command; every 50 ms (two hours): `python -m tests.wild.ctrl_c`."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

from tests.wild.case import Case
from tests.wild.ctrl_c import SWEPT, is_here, tried

MOMENTS = 4  # of each command in a slow case
IN_TESTS = ("ask", "demo", "run", "pull", "train", "replay", "serve", "export")  # of the others only a sweep is made


def _at(name: str, *times_s: float, number: int = signal.SIGINT, times: int = 1) -> Case:
    def came(_folder: Path) -> str:
        found = [(at_s, tried(name, at_s, number, times=times)) for at_s in times_s]
        return "; ".join(f"at {at_s} s: {what}" for at_s, what in found if what != "right") or "right"

    what = signal.Signals(number).name + (" twice" if times > 1 else "")
    moments = ", ".join(f"{at_s:g}" for at_s in times_s)
    kind = 9 if number == signal.SIGINT else 21
    return Case(kind, f"{name}: {what} after {moments} s", r"^right$", came, is_listed=name in ("ask", "demo"))


def _swept(name: str, _folder: Path) -> str:
    if not is_here(SWEPT[name]):
        return "right, as far as it could be tried: what it needs is not here"
    times_s = [SWEPT[name].until_s * i / MOMENTS for i in range(1, MOMENTS + 1)]
    wrong = [f"at {at_s:.2f} s: {came}" for at_s in times_s if (came := tried(name, at_s)) != "right"]
    return "; ".join(wrong) or "right"


CASES = [
    _at("ask", 0.05, 0.3, 0.7),
    _at("demo", 1.5),
    _at("pull", 0.6),
    _at("train", 1.5),
    _at("ask", 0.5, times=2),
    _at("replay", 2.5, number=signal.SIGTERM),
    _at("ask", 0.4, number=signal.SIGHUP),
    _at("demo", 0.1, number=signal.SIGTERM),
    *(
        Case(
            9, f"{name}: Ctrl-C at {MOMENTS} moments", r"^right", partial(_swept, name), is_listed=True, marks=("slow",)
        )
        for name in IN_TESTS
    ),
]
