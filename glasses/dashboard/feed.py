"""From what the live spine lets watch to what the page shows. Knows the spine's values, no server and no device."""

from __future__ import annotations

import numpy as np

from glasses.dashboard.status import Bar, Panel, TurnView
from glasses.live import Played
from glasses.reply import Reply
from glasses.signals import Draft, Ended, ReplyState, Told
from glasses.types import AudioChunk, Frame

_MS = 1e6
MOST_BARS = 14  # drafts made while somebody speaks for long are many; the last ones matter
_TOLD = {  # what the gates told the mouth: the panel's gate, decision, why, and what the spine does from then on
    "opened": ("address", "opened", "it was meant: a touch, or speech", "listening to you"),
    "resumed": ("turn", "goes on", "speech went on after a pause", "listening to you"),
    "pause": ("barge-in", "paused", "somebody began to speak over the reply", "paused"),
    "unpause": ("barge-in", "went on", "it was not speech to the glasses", "speaking"),
    "interrupt": ("barge-in", "fell silent", "the wearer spoke over the reply", "listening to you"),
    "expire": ("turn", "expired", "nobody waits for this reply any more", "listening"),
}


class PanelFeed:
    """`saw` is a `watch` of glasses.live.Live: call it with every sensor event, Signal and Reply, from any thread."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def saw(self, what: object) -> None:
        """Takes one thing; what the page does not show is ignored."""
        if isinstance(what, AudioChunk):
            self._panel.heard(what)
        elif isinstance(what, Frame):
            self._panel.saw(what)
        elif isinstance(what, Played):
            self._panel.spoke(what.pcm.astype(np.float32) / np.float32(32768))
        elif isinstance(what, ReplyState) and what.what == "audible":
            self._panel.state("speaking")
        elif isinstance(what, Told):
            gate, decision, why, state = _TOLD[what.what]
            self._panel.decided(gate, decision, why, what.t_ns)
            self._panel.state(state)
        elif isinstance(what, Ended):
            silent_ms = (what.decided_ns - what.span.end_ns) / _MS
            self._panel.decided("turn", "ended", f"{silent_ms:.0f} ms after the end of speech", what.decided_ns)
            self._panel.state("thinking")
        elif isinstance(what, Reply):
            self._panel.turn(turn_view(what))
            self._panel.state("listening")
        elif isinstance(what, Draft) and what.final:
            self._panel.state("thinking")


def turn_view(reply: Reply) -> TurnView:
    """A reply as its waterfall, in ms from the end of speech (from its first work where nobody spoke)."""
    turn, works = reply.draft.turn, reply.work
    zero_ns = reply.ended.span.end_ns if reply.ended else min((work.began_ns for work in works), default=turn.t_ns)
    bars = [Bar(work.stage, (work.began_ns - zero_ns) / _MS, (work.ended_ns - zero_ns) / _MS) for work in works]
    if reply.ended:
        bars.append(Bar("wait for silence", 0.0, (reply.ended.decided_ns - zero_ns) / _MS))
    first_ms = (reply.audible_ns - zero_ns) / _MS if reply.audible_ns else None
    bars = [bar for bar in sorted(bars, key=lambda bar: bar.from_ms) if first_ms is None or bar.from_ms <= first_ms]
    return TurnView(turn.id, zero_ns, turn.cause, reply.text, reply.outcome, tuple(bars[-MOST_BARS:]), first_ms)
