"""What `glasses link` shows while a link is open: each change of its state with the reason, and the counters."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.states import Change, State, Why

_LOOK_S = 0.5
_LINE_S = 1.0  # between two lines of JSON


class LinkReporter:
    """Called for every state of the link; prints each loss and each return once, with the reason, through `out`."""

    def __init__(self, *, as_json: bool) -> None:
        self.out: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
        self._as_json = as_json
        self._said: tuple[State, Why] | None = None
        self._been_up = False

    def __call__(self, change: Change) -> None:
        """Reports one state. The end of the link is not reported: the command raises it as an error."""
        said = (change.state, change.why)
        if change.state not in (State.UP, State.WAITING) or said == self._said:
            return
        if self._said is not None or change.state is State.WAITING:  # a link that came up at once needs no report
            self.out(self._as_json_line(change) if self._as_json else self._line(change))
        self._said = said
        self._been_up |= change.state is State.UP

    def _as_json_line(self, change: Change) -> str:
        event = "up" if change.state is State.UP else "down"
        lost = {"messages_lost": change.dropped} if event == "up" else {}
        return json.dumps({"event": event, "why": str(change.why), "detail": change.detail, **lost})

    def _line(self, change: Change) -> str:
        detail = f": {change.detail}" if change.detail else ""
        if change.state is State.UP:
            lost = f"; {change.dropped} messages were lost with it" if change.dropped else ""
            return f"{time.strftime('%H:%M:%S')} link up{detail}{lost}"
        what = "link down" if self._been_up else "no link yet"
        return f"{time.strftime('%H:%M:%S')} {what} ({change.why}){detail}; trying again"


def figures(device: ReferenceGlasses) -> dict[str, Any]:
    """Counters since the link was opened; bytes as on the wire."""
    link, beat = device.session.link, device.heartbeat
    counters = link.counters
    return {
        "state": str(link.state),
        "sessions": counters.sessions,
        "bytes_out": counters.bytes_out,
        "bytes_in": counters.bytes_in,
        "messages_out": counters.messages_out,
        "messages_in": counters.messages_in,
        "sent_again": counters.repeated,
        "sent_again_by_device": beat.get("repeated"),
        "came_twice": counters.duplicates,
        "damaged": counters.bad_frames,
        "damaged_at_device": beat.get("crc_errors"),
        "forged": counters.forged,
        "ping_ms": None if link.clock.last_delay_us is None else round(link.clock.last_delay_us / 1000, 1),
        "round_trip_ms": round(link.round_trip.smoothed_us / 1000, 1),  # smoothed, of messages; the retry timer uses it
        "clock_offset_ms": round(link.clock.offset_us(time.monotonic_ns() // 1000) / 1000, 3)
        if link.clock.known
        else None,
        "clock_drift_ppm": round(link.clock.drift_ppm, 1),
        "microphone_lost": device.audio_lost,
    }


async def monitor(device: ReferenceGlasses, reporter: LinkReporter, seconds: float | None, *, as_json: bool) -> None:
    """Shows the counters for `seconds`, or until cancelled. Raises wire.LinkError when the link has ended for good."""
    end_s = time.monotonic() + seconds if seconds else float("inf")
    if as_json:
        reporter.out = lambda line: print(line, flush=True)
        while True:
            print(json.dumps({"event": "counters", **figures(device)}), flush=True)
            if (left_s := end_s - time.monotonic()) <= 0:
                return
            await asyncio.sleep(min(_LINE_S, left_s))
            device.session.check()
    console = Console()
    before, at_s = figures(device), time.monotonic()
    with Live(_table(before, before, 1.0), console=console, auto_refresh=False) as live:
        reporter.out = partial(console.print, markup=False, highlight=False, soft_wrap=True)  # "[Errno 5]" is no markup
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(_LOOK_S, left_s))
            now, now_s = figures(device), time.monotonic()
            live.update(_table(now, before, now_s - at_s), refresh=True)
            before, at_s = now, now_s
            device.session.check()
    if not console.is_terminal:
        console.print()  # Live leaves the last line open there


def _table(now: dict[str, Any], before: dict[str, Any], elapsed_s: float) -> Table:
    table = Table("what", "value", "a second")
    for name, value in now.items():
        moving = isinstance(value, int) and isinstance(before[name], int) and name != "sessions"
        table.add_row(
            name, "-" if value is None else str(value), f"{(value - before[name]) / elapsed_s:.0f}" if moving else ""
        )
    return table
