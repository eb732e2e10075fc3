"""The page's observer: turns the pipeline's events into what the dashboard shows, with the reason for each decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from glasses.dashboard.status import Bar, Panel, TurnView
from glasses.events import Announced, Draft, Played, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal
from glasses.types import NS_PER_MS, AudioChunk, Button, DeviceChange, Frame, OwnVoice

MOST_BARS = 14  # drafts made while somebody speaks for long are many; the last ones matter
_TURN_EVENTS = {  # the page's gate, its decision, why, and what the assistant does from then on
    TurnEvent.TURN_STARTED: ("activation", "started", "it was spoken to", "listening to you"),
    TurnEvent.SPEECH_RESUMED: ("turn", "goes on", "speech went on after a pause", "listening to you"),
    TurnEvent.BARGE_IN_PENDING: ("barge-in", "paused", "somebody began to speak over the reply", "paused"),
    TurnEvent.BARGE_IN_REJECTED: ("barge-in", "went on", "it was not speech to the glasses", "speaking"),
    TurnEvent.INTERRUPTED: ("barge-in", "fell silent", "the wearer spoke over the reply", "listening to you"),
    TurnEvent.TIMED_OUT: ("turn", "timed out", "nobody waits for this reply any more", "listening"),
    TurnEvent.NOT_ADDRESSED: (
        "activation",
        "ignored",
        "it asked for nothing, so it was not for the glasses",
        "listening",
    ),
}
_PRESSES = {
    "tap": "a touch",
    "long_press": "a long touch: look at this",
    "double_tap": "a double touch: what was that?",
}
_MEMORY_INTENTS = {
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
    """An observer (assistant/observers.py) that fills a Panel."""

    name = "dashboard"

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._press = Button(-1, "tap")  # the last one
        self._called_turn = -1  # the turn that the wake word opened
        self._muted = False

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """What the page shows."""
        return {
            AudioChunk: self._panel.set_microphone,
            Frame: self._panel.set_camera,
            Button: self._on_button,
            Played: lambda played: self._panel.set_speaker(played.pcm.astype(np.float32) / np.float32(32768)),
            ReplyState: self._on_reply_state,
            OwnVoice: self._on_own_voice,
            DeviceChange: self._on_device_change,
            TurnSignal: self._on_turn_event,
            Draft: self._on_draft,
            TurnCompleted: self._on_turn_completed,
            Reply: self._on_reply,
            Announced: self._on_announced,
        }

    def _on_button(self, button: Button) -> None:
        self._press = button

    def _on_reply_state(self, state: ReplyState) -> None:
        if state.state == "audible":
            self._panel.set_state("speaking")

    def _on_own_voice(self, own_voice: OwnVoice) -> None:
        if own_voice.on:
            self._panel.add_decision("echo", "own voice", "the microphone hears the reply itself", own_voice.t_ns)

    def _on_device_change(self, change: DeviceChange) -> None:
        if change.state in ("muted", "unmuted"):
            self._muted = change.state == "muted"
            self._panel.set_muted(self._muted)
        self._panel.add_decision("devices", change.state, change.why or _DEVICES[change.state], change.t_ns)

    def _on_turn_event(self, signal: TurnSignal) -> None:
        if signal.event not in _TURN_EVENTS:
            return
        gate, decision, why, state = _TURN_EVENTS[signal.event]
        starts = signal.event in (TurnEvent.TURN_STARTED, TurnEvent.INTERRUPTED)
        if starts and signal.t_ns == self._press.t_ns:
            why = _PRESSES[self._press.press]
        elif signal.continues_turn:
            why = "speech went on before the reply was heard: it is the same turn"
        elif signal.event == TurnEvent.TIMED_OUT and self._muted:
            gate, decision, why = "turn", "dropped", _DEVICES["muted"]
        self._panel.add_decision(gate, decision, why, signal.t_ns)
        self._panel.set_state(state)

    def _on_draft(self, draft: Draft) -> None:
        if draft.turn.cause == "wake_word" and self._called_turn != draft.turn.id:
            self._called_turn = draft.turn.id
            self._panel.add_decision("activation", "called", "the wake word was heard", draft.turn.t_ns)
        if draft.is_final:
            self._panel.set_state("thinking")

    def _on_turn_completed(self, completed: TurnCompleted) -> None:
        silent_ms = (completed.decided_ns - completed.span.end_ns) / NS_PER_MS
        why = f"{silent_ms:.0f} ms after the end of speech" if completed.span.spoken_ns else "nothing was said"
        self._panel.add_decision("turn", "completed", why, completed.decided_ns)
        if completed.view is not None:
            self._panel.add_decision("camera", "looked", "the touch was a long one", completed.view.t_ns)
        if completed.memory_intent:
            self._panel.add_decision("memory", "asked", _MEMORY_INTENTS[completed.memory_intent], completed.decided_ns)
        self._panel.set_state("thinking")

    def _on_announced(self, announced: Announced) -> None:
        self._panel.add_decision(announced.kind, announced.state, announced.text, announced.t_ns)
        self._panel.set_state("speaking" if announced.state == "begun" else "listening")

    def _on_reply(self, reply: Reply) -> None:
        self._panel.add_turn(turn_view(reply))
        self._panel.set_state("listening")


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
    return TurnView(
        turn.id, zero_ns, turn.cause, reply.text, str(reply.outcome or ""), tuple(bars[-MOST_BARS:]), first_ms
    )
