"""From what the live spine lets watch to what the page shows. Knows the spine's values, no server and no device."""

from __future__ import annotations

import numpy as np

from glasses.dashboard.status import Bar, Panel, TurnView
from glasses.events import Draft, Played, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal
from glasses.types import NS_PER_MS, AudioChunk, Button, DeviceChange, Frame, OwnVoice

MOST_BARS = 14  # drafts made while somebody speaks for long are many; the last ones matter
_TURN_EVENTS = {  # the panel's gate, decision, why, and the pipeline's state from then on
    TurnEvent.TURN_STARTED: ("address", "opened", "it was spoken to", "listening to you"),
    TurnEvent.SPEECH_RESUMED: ("turn", "goes on", "speech went on after a pause", "listening to you"),
    TurnEvent.BARGE_IN_PENDING: ("barge-in", "paused", "somebody began to speak over the reply", "paused"),
    TurnEvent.BARGE_IN_REJECTED: ("barge-in", "went on", "it was not speech to the glasses", "speaking"),
    TurnEvent.INTERRUPTED: ("barge-in", "fell silent", "the wearer spoke over the reply", "listening to you"),
    TurnEvent.TIMED_OUT: ("turn", "expired", "nobody waits for this reply any more", "listening"),
    TurnEvent.NOT_ADDRESSED: (
        "address",
        "let pass",
        "it asked for nothing, so it was not for the glasses",
        "listening",
    ),
}
_TOUCH = {"tap": "a touch", "long_press": "a long touch: look at this", "double_tap": "a double touch: what was that?"}
_WISH = {
    "sound": "what was said asks for a sound that is over",
    "picture": "what was said asks for a sight that is over",
    "repeat": "a double touch right after a reply: the same once more",
    "wipe": "what was said asks to forget: a touch within ten seconds does",
}
_DEVICES = {
    "disconnected": "a sound device gives nothing any more",
    "reconnected": "the sound devices were opened again",
    "muted": "microphone and camera are closed",
    "unmuted": "microphone and camera may open again",
}


class PanelFeed:
    """`saw` is a `watch` of the assistant: call it with every sensor event, Signal and Reply, from any thread."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._touch = Button(-1, "tap")  # the last one
        self._called = -1  # the turn that the wake phrase opened
        self._muted = False

    def saw(self, what: object) -> None:
        """Takes one thing; what the page does not show is ignored."""
        if isinstance(what, AudioChunk):
            self._panel.heard(what)
        elif isinstance(what, Frame):
            self._panel.saw(what)
        elif isinstance(what, Button):
            self._touch = what
        elif isinstance(what, Played):
            self._panel.spoke(what.pcm.astype(np.float32) / np.float32(32768))
        elif isinstance(what, ReplyState) and what.state == "audible":
            self._panel.state("speaking")
        elif isinstance(what, OwnVoice) and what.on:
            self._panel.decided("echo", "own voice", "the microphone hears the reply itself", what.t_ns)
        elif isinstance(what, DeviceChange):
            if what.state in ("muted", "unmuted"):
                self._muted = what.state == "muted"
            self._panel.decided("devices", what.state, what.why or _DEVICES[what.state], what.t_ns)
        elif isinstance(what, TurnSignal):
            self._told(what)
        elif isinstance(what, Draft):
            self._drafted(what)
        elif isinstance(what, TurnCompleted):
            self._end(what)
        elif isinstance(what, Reply):
            self._panel.turn(turn_view(what))
            self._panel.state("listening")

    def _told(self, told: TurnSignal) -> None:
        gate, decision, why, state = _TURN_EVENTS[told.event]
        if told.event in (TurnEvent.TURN_STARTED, TurnEvent.INTERRUPTED) and told.t_ns == self._touch.t_ns:
            why = _TOUCH[self._touch.press]
        elif told.continues_turn:
            why = "speech went on before the reply was heard: it is the same turn"
        elif told.event is TurnEvent.TIMED_OUT and self._muted:
            gate, decision, why = "turn", "dropped", _DEVICES["muted"]
        self._panel.decided(gate, decision, why, told.t_ns)
        self._panel.state(state)

    def _drafted(self, draft: Draft) -> None:
        if draft.turn.cause == "wake_word" and self._called != draft.turn.id:
            self._called = draft.turn.id
            self._panel.decided("address", "called", "the wake phrase was heard", draft.turn.t_ns)
        if draft.is_final:
            self._panel.state("thinking")

    def _end(self, ended: TurnCompleted) -> None:
        silent_ms = (ended.decided_ns - ended.span.end_ns) / NS_PER_MS
        why = f"{silent_ms:.0f} ms after the end of speech" if ended.span.spoken_ns else "nothing was said"
        self._panel.decided("turn", "ended", why, ended.decided_ns)
        if ended.view is not None:
            self._panel.decided("camera", "looked", "the touch was a long one", ended.view.t_ns)
        if ended.memory_intent:
            self._panel.decided("memory", "asked", _WISH[ended.memory_intent], ended.decided_ns)
        self._panel.state("thinking")


def turn_view(reply: Reply) -> TurnView:
    """A reply as its waterfall, in ms from the end of speech (from its first work where nobody spoke)."""
    turn, works = reply.draft.turn, reply.work
    zero_ns = reply.ended.span.end_ns if reply.ended else min((work.began_ns for work in works), default=turn.t_ns)
    bars = [
        Bar(work.stage, (work.began_ns - zero_ns) / NS_PER_MS, (work.ended_ns - zero_ns) / NS_PER_MS) for work in works
    ]
    if reply.ended:
        bars.append(Bar("wait for silence", 0.0, (reply.ended.decided_ns - zero_ns) / NS_PER_MS))
    first_ms = (reply.audible_ns - zero_ns) / NS_PER_MS if reply.audible_ns else None
    bars = [bar for bar in sorted(bars, key=lambda bar: bar.from_ms) if first_ms is None or bar.from_ms <= first_ms]
    return TurnView(turn.id, zero_ns, turn.cause, reply.text, reply.outcome or "", tuple(bars[-MOST_BARS:]), first_ms)
