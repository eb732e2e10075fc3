"""Decides from measurements where a turn is answered, and explains the decision in one line. Does no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Place = Literal["local", "remote", "hedge"]
Privacy = Literal["nothing leaves", "latents may leave"]


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known when a turn begins. `None` means not measured.

    `rtt_ms` and `bytes_per_s` are the link's (`LinkMeter`), `to_send_bytes` the size of the turn,
    `remaining_ms` what is left of the deadline.
    """

    connected: bool
    rtt_ms: float | None
    bytes_per_s: float | None
    to_send_bytes: int
    remaining_ms: float
    privacy: Privacy = "nothing leaves"
    local_only: bool = False  # a kind of task that only this device can do: its own functions and decoders
    battery: float | None = None  # 0..1
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """`reserve_ms` of the deadline is kept for a local answer; `sure_nats` is the entropy of the first token under
    which the local answer is taken as it is. Both come from the bundle's own figures, not from taste.
    """

    reserve_ms: float = 800.0
    remote_start_ms: float = 150.0  # the remote model's own time from the last latent to its first token
    sure_nats: float = 0.7
    low_battery: float = 0.15
    hot_c: float = 75.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`why` is the line for the log; `expected_ms` when the remote model's first token is expected."""

    place: Place
    why: str
    expected_ms: float = math.inf


def decide(signals: Signals, limits: Limits = Limits()) -> Decision:
    """Local where nothing may or can be sent in time; remote alone where the device should rest; else both."""
    if signals.privacy == "nothing leaves" or signals.local_only:
        why = "only this device can do it" if signals.local_only else "the wearer lets nothing leave"
        return Decision("local", f"local: {why}")
    if not signals.connected or signals.rtt_ms is None:
        return Decision("local", "local: no connection")
    upload_ms = 1000.0 * signals.to_send_bytes / signals.bytes_per_s if signals.bytes_per_s else 0.0
    expected_ms = signals.rtt_ms + upload_ms + limits.remote_start_ms
    link = f"rtt {signals.rtt_ms:.0f} ms, upload {upload_ms:.0f} ms, first token expected in {expected_ms:.0f} ms"
    if expected_ms + limits.reserve_ms > signals.remaining_ms:
        return Decision("local", f"local: {link}, too late for {signals.remaining_ms:.0f} ms", expected_ms)
    if signals.battery is not None and signals.battery < limits.low_battery:
        return Decision("remote", f"remote: battery {signals.battery:.0%}; {link}", expected_ms)
    if signals.temperature_c is not None and signals.temperature_c > limits.hot_c:
        return Decision("remote", f"remote: {signals.temperature_c:.0f} C; {link}", expected_ms)
    return Decision("hedge", f"both: {link}", expected_ms)


def entropy_nats(top: Sequence[tuple[int, float]]) -> float:
    """Entropy of the next token from its k most likely (token, logprob); the rest counts as one more token, which
    makes it a lower bound.
    """
    probabilities = [math.exp(logprob) for _, logprob in top]
    rest = max(0.0, 1.0 - sum(probabilities))
    return -sum(p * math.log(p) for p in (*probabilities, rest) if p > 0)


class LinkMeter:
    """Round trip and throughput of one link, as moving averages over what was really sent."""

    _WEIGHT = 0.3
    _SMALL_BYTES = 4096  # below it, time is round trip; above it, what is over the round trip is transfer

    def __init__(self) -> None:
        self.rtt_ms: float | None = None
        self.bytes_per_s: float | None = None

    def observe(self, sent_bytes: int, took_ms: float) -> None:
        """Adds one request of `sent_bytes` that was answered after `took_ms`."""
        if sent_bytes < self._SMALL_BYTES:
            self.rtt_ms = self._average(self.rtt_ms, took_ms)
        elif self.rtt_ms is not None and took_ms > self.rtt_ms:
            self.bytes_per_s = self._average(self.bytes_per_s, 1000.0 * sent_bytes / (took_ms - self.rtt_ms))

    def forget(self) -> None:
        """The link broke: what was measured says nothing about the next one."""
        self.rtt_ms = self.bytes_per_s = None

    def _average(self, old: float | None, new: float) -> float:
        return new if old is None else old + self._WEIGHT * (new - old)
