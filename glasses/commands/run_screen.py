"""What a person reads of `glasses run`, or what a program reads of it with --json: an observer of the pipeline."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from glasses.assistant.config import Activation
from glasses.assistant.observers import EventsDropped, Handlers
from glasses.assistant.reply import reply_fields
from glasses.commands.log_thread import write_unbuffered
from glasses.events import Announced, Outcome, Reply, ReplyState, ReplyText, TurnCompleted, TurnEvent, TurnSignal
from glasses.types import DeviceChange, Wiped

# Of other turn events a person is not told; a program is told all.
_TURN_EVENTS = {
    TurnEvent.TURN_STARTED: "listening to you",
    TurnEvent.INTERRUPTED: "interrupted",
    TurnEvent.TIMED_OUT: "timed out",
    TurnEvent.NOT_ADDRESSED: "ignored: not addressed to the assistant",
}
_HOW: dict[Activation, str] = {  # to address it
    "button": "touch the glasses first, or t and Enter",
    "wake-word": "say the wake phrase or touch the glasses first",
    "request": "ask it something, or touch the glasses first",
    "speech": "",
}
_DEVICES = {
    "disconnected": "microphone or speaker gone",
    "reconnected": "audio devices reconnected",
    "muted": "muted",
    "unmuted": "listening again",
}

# Counts of the "stopped" notice, as a person reads them.
_COUNTS = {
    "sound_lost": "sound dropped",
    "pictures_lost": "pictures dropped",
    "overruns": "microphone read too late",
    "underruns": "speaker left without sound",
    "reopened": "audio devices opened again",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say that no stage of the pipeline made: `what` and its fields, or a whole sentence."""

    what: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""
    t_ns: int = field(default_factory=time.monotonic_ns)


def write_stdout(text: str) -> None:
    """A reader that has gone ends the process, as SIGPIPE would; not at once, but as if it were told to stop."""
    try:
        write_unbuffered(1, text)
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)


class Screen:
    """Writes one line for each event, and answers as they are generated."""

    name = "screen"

    def __init__(
        self, *, as_json: bool, activation: Activation = "speech", write: Callable[[str], None] = write_stdout
    ) -> None:
        """A person is told what `activation` asks of them where they were not answered."""
        self._as_json, self._write = as_json, write
        self._how = _HOW[activation]
        self._within_line = False  # an answer is being written
        self._muted = False

    @property
    def handlers(self) -> Handlers:
        """What it shows."""
        common = {Notice: self._notice, DeviceChange: self._device, Wiped: self._wiped, EventsDropped: self._dropped}
        if self._as_json:
            return {
                **common,
                TurnSignal: lambda event: self._say(
                    event.event,
                    turn=event.turn_id,
                    at_ns=event.t_ns,
                    **({"continues_turn": True} if event.continues_turn else {}),
                ),
                ReplyState: self._audible,
                TurnCompleted: lambda event: self._say(
                    TurnEvent.TURN_COMPLETED,
                    turn=event.turn.id,
                    speech_end_ns=event.span.end_ns,
                    decided_ns=event.decided_ns,
                ),
                Reply: lambda reply: self._say("reply", **reply_fields(reply)),
                Announced: lambda announced: self._say("announced", **asdict(announced)),
            }
        return {
            **common,
            TurnSignal: self._turn_event,
            ReplyText: self._text,
            Reply: self._reply,
            Announced: self._announced,
        }

    def _say(self, what: str, **fields: Any) -> None:
        if self._as_json:
            self._line(json.dumps({"t_ns": time.monotonic_ns(), "what": what, **fields}))
        else:
            known = ", ".join(_in_words(name, value) for name, value in fields.items() if value)
            self._line(f"[{what}{': ' + known if known else ''}]")

    def _notice(self, notice: Notice) -> None:
        if not notice.sentence:
            self._say(notice.what, **notice.fields)
        elif self._as_json:
            self._say(notice.what, text=notice.sentence, **notice.fields)
        else:
            self._line(notice.sentence)

    def _dropped(self, dropped: EventsDropped) -> None:
        if self._as_json:
            self._say("dropped", events=dropped.count)
        else:
            self._line(f"[{dropped.count} events not shown: the output was not read]")

    def _device(self, change: DeviceChange) -> None:
        if change.state in ("muted", "unmuted"):
            self._muted = change.state == "muted"
        if self._as_json:
            self._say("devices", state=change.state, why=change.why)
        else:
            self._line(f"[{change.why or _DEVICES[change.state]}]")

    def _wiped(self, wiped: Wiped) -> None:
        if self._as_json:
            self._say("wiped", windows=wiped.windows)
        else:
            self._line("[everything is forgotten]")

    def _audible(self, state: ReplyState) -> None:
        if state.state == "audible":
            self._say("audible", turn=state.turn_id, at_ns=state.t_ns)

    def _turn_event(self, event: TurnSignal) -> None:
        if self._muted and event.event == TurnEvent.TIMED_OUT:
            return  # muting has dropped the turn: that was said
        if sentence := "turn continued" if event.continues_turn else _TURN_EVENTS.get(event.event, ""):
            how = f": {self._how}" if self._how and event.event == TurnEvent.NOT_ADDRESSED else ""
            self._line(f"[{sentence}{how}]")

    def _text(self, text: ReplyText) -> None:
        if text.text:
            self._write(text.text)
            self._within_line = not text.text.endswith("\n")

    def _reply(self, reply: Reply) -> None:
        if reply.outcome == Outcome.COMPLETED:
            first_ms = reply_fields(reply)["first_audio_ms"]
            self._line(f"[first audio {first_ms:.0f} ms]" if first_ms is not None else "[said]")
        elif reply.outcome in (Outcome.EMPTY, Outcome.FAILED):
            self._line("[no answer]")

    def _announced(self, announced: Announced) -> None:
        if announced.state == "begun":
            self._line(f"[{announced.kind}] {announced.text}" if announced.text else f"[{announced.kind}]")
        elif announced.state == "missed":
            self._line(f"[{announced.kind}, nobody answered] {announced.text}")

    def _line(self, line: str) -> None:
        self._write(f"\n{line}\n" if self._within_line else f"{line}\n")
        self._within_line = False


def _in_words(name: str, value: Any) -> str:
    """A field of a notice as a person reads it."""
    if name in _COUNTS:
        return f"{_COUNTS[name]} {'once' if value == 1 else f'{value} times'}"
    return f"{name.replace('_', ' ')} {value}"
