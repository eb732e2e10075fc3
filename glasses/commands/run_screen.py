"""What `glasses run` says: lines for a person or JSON for a program; a reply as figures. Knows no device."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from glasses.assistant.reply import reply_fields
from glasses.events import Outcome, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal
from glasses.types import DeviceChange

# What a person is told of an event; of others nothing: a program is told all.
_TURN_EVENTS = {
    TurnEvent.TURN_STARTED: "listening to you",
    TurnEvent.INTERRUPTED: "interrupted",
    TurnEvent.TIMED_OUT: "timed out",
    TurnEvent.NOT_ADDRESSED: "ignored: not addressed to the assistant",
}
_DEVICES = {
    "disconnected": "microphone or speaker gone",
    "reconnected": "audio devices reconnected",
    "muted": "muted",
    "unmuted": "listening again",
}


class Screen:
    """What a person sees, or what a program reads."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._within_line = False  # an answer is being written
        self._muted = False

    def say(self, what: str, **fields: Any) -> None:
        """One event."""
        if self._as_json:
            self._line(json.dumps({"t_ns": time.monotonic_ns(), "what": what, **fields}))
        else:
            known = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items() if value)
            self._line(f"[{what}{': ' + known if known else ''}]")

    def note(self, text: str) -> None:
        """One event that already is a sentence."""
        if self._as_json:
            self.say("note", text=text)
        else:
            self._line(text)

    def text(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        if not self._as_json:
            with self._lock:
                print(text, end="", flush=True)
                self._within_line = not text.endswith("\n") if text else self._within_line

    def saw(self, what: Any) -> None:
        """Whatever the spine lets watch."""
        if isinstance(what, DeviceChange) and what.state in ("muted", "unmuted"):
            self._muted = what.state == "muted"
        if not self._as_json:
            if self._muted and isinstance(what, TurnSignal) and what.event is TurnEvent.TIMED_OUT:
                return  # muting has dropped the turn: that was said
            if sentence := _sentence(what):
                self._line(f"[{sentence}]")
        elif isinstance(what, TurnSignal):
            continues = {"continues_turn": True} if what.continues_turn else {}
            self.say(what.event, turn=what.turn_id, at_ns=what.t_ns, **continues)
        elif isinstance(what, ReplyState) and what.state == "audible":
            self.say("audible", turn=what.turn_id, at_ns=what.t_ns)
        elif isinstance(what, TurnCompleted):
            self.say(
                TurnEvent.TURN_COMPLETED, turn=what.turn.id, speech_end_ns=what.span.end_ns, decided_ns=what.decided_ns
            )
        elif isinstance(what, DeviceChange):
            self.say("devices", state=what.state, why=what.why)
        elif isinstance(what, Reply):
            self.say("reply", **reply_fields(what))

    def _line(self, line: str) -> None:
        with self._lock:
            print(f"\n{line}" if self._within_line else line, flush=True)
            self._within_line = False


def _sentence(what: Any) -> str:
    """For a person; empty for what only a program wants to know."""
    if isinstance(what, TurnSignal):
        return "turn continued" if what.continues_turn else _TURN_EVENTS.get(what.event, "")
    if isinstance(what, DeviceChange):
        return what.why or _DEVICES.get(what.state, what.state)
    if isinstance(what, Reply) and what.outcome is Outcome.COMPLETED:
        first_ms = reply_fields(what)["first_audio_ms"]
        return f"first audio {first_ms:.0f} ms" if first_ms is not None else "said"
    if isinstance(what, Reply) and what.outcome in (Outcome.EMPTY, Outcome.FAILED):
        return "no answer"
    return ""


_CLEARING = (TurnEvent.TURN_STARTED, TurnEvent.INTERRUPTED, TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED)


class Caption:
    """What a HUD shows: the text of the newest answer, as it comes."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._text = show, ""

    def text(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        self._text += text
        self._show(self._text)

    def saw(self, what: Any) -> None:
        """Whatever the spine lets watch: a new turn, or an answer that nobody waits for any more, clears it."""
        begins = isinstance(what, TurnSignal) and what.event in _CLEARING
        if self._text and (begins or (isinstance(what, Reply) and what.outcome is Outcome.TIMED_OUT)):
            self._text = ""
            self._show("")
