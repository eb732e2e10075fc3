"""Decides what the HUD shows now. The only owner of that: the glasses and the page's picture of the HUD follow it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from glasses.assistant.observers import Handlers, Idle
from glasses.events import Announced, Outcome, Reply, ReplyText, ShowText, TurnEvent, TurnSignal
from glasses.types import DeviceChange, Wiped

CLEAR_AFTER_S = 8.0  # after a reply was said; config key hud.clear_after_s
MUTED = "muted"  # is shown for as long as a reply that was said
READ_WORDS_PER_S = 3.0  # a reply that was not said has to be read first
# The events after which the text on the HUD is of no more use. Others (a pause, a voice that was no barge-in) leave it.
CLEARING = (TurnEvent.TURN_STARTED, TurnEvent.INTERRUPTED, TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED)


class HudText:
    """Shows a reply as it is generated, and clears it: some seconds after it was said, and at a new turn.

    Muted, it says so as long.
    """

    name = "HUD"

    def __init__(
        self,
        shows: Sequence[Callable[[str], None]],
        *,
        clear_after_s: float = CLEAR_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Each of `shows` is given every text, empty for a blank HUD."""
        self._shows, self._clear_after_s, self._clock = shows, clear_after_s, clock
        self._text, self._is_finished = "", False
        self._to_read = ""  # a ShowText that nobody had the time to read yet
        self._clear_at_s: float | None = None

    @property
    def handlers(self) -> Handlers:
        """What changes it."""
        return {
            ReplyText: self._on_text,
            TurnSignal: self._on_turn_event,
            Reply: self._on_reply,
            Announced: self._on_announced,
            ShowText: self._on_show_text,
            DeviceChange: self._on_device_change,
            Wiped: lambda wiped: self._clear(),
            Idle: self._on_idle,
        }

    def _on_text(self, text: ReplyText) -> None:
        if self._is_finished:
            self._text, self._is_finished = "", False
        self._clear_at_s = None
        self._text += text.text
        self._show()

    def _on_turn_event(self, signal: TurnSignal) -> None:
        if signal.event in CLEARING:
            self._clear()

    def _on_reply(self, reply: Reply) -> None:
        if reply.outcome == Outcome.TIMED_OUT:
            self._clear()
        elif self._to_read:
            self._show_to_read()
            self._to_read = ""
        elif self._text:
            self._is_finished = True
            reading_s = len(self._text.split()) / READ_WORDS_PER_S if reply.audible_ns is None else 0.0
            self._clear_at_s = self._clock() + self._clear_after_s + reading_s

    def _on_announced(self, announced: Announced) -> None:
        """Shown from its beginning on; what nobody answered stays until something else is shown."""
        if announced.state == "begun":
            self._text, self._is_finished, self._clear_at_s = announced.text, True, None
            self._show()
        elif announced.state == "answered":
            self._clear()
        elif announced.text == self._text:
            reading_s = len(self._text.split()) / READ_WORDS_PER_S
            self._clear_at_s = None if announced.state == "missed" else self._clock() + self._clear_after_s + reading_s

    def _on_show_text(self, shown: ShowText) -> None:
        """A text for as long as it is read. A reply goes first: what a tool has to show comes just before its reply."""
        self._to_read = shown.text
        if not self._text or self._clear_at_s is not None:
            self._show_to_read()

    def _show_to_read(self) -> None:
        self._text, self._is_finished = self._to_read, True
        self._clear_at_s = self._clock() + self._clear_after_s + len(self._text.split()) / READ_WORDS_PER_S
        self._show()

    def _on_device_change(self, change: DeviceChange) -> None:
        shown = MUTED if change.state == "muted" else change.why if change.state == "disconnected" else ""
        if shown:
            self._text, self._is_finished = shown, True
            self._clear_at_s = self._clock() + self._clear_after_s
            self._show()
        elif change.state == "unmuted" and self._text == MUTED:
            self._clear()

    def _on_idle(self, idle: Idle) -> None:
        del idle
        if self._clear_at_s is not None and self._clock() >= self._clear_at_s:
            self._clear()

    def _clear(self) -> None:
        self._clear_at_s, self._is_finished, self._to_read = None, False, ""
        if self._text:
            self._text = ""
            self._show()

    def _show(self) -> None:
        for show in self._shows:
            show(self._text)
