"""One channel of the link, each direction: sequence numbers, selective acknowledgement, credit, retransmission.

Knows NOTHING of frames, sessions, sealing or what a message says. Sequence numbers are 16 bits and wrap; at most
MAX_WINDOW messages are in flight, so that serial arithmetic (RFC 1982) is never ambiguous.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from firmware_bridge.protocol import MAX_WINDOW

FIRST_CREDIT = 4  # frames that may be sent before the peer has said what it can hold
MAX_RTO_US = 1_000_000
MIN_RTO_US = 30_000
_MASK = 0xFFFF
_HALF = 0x8000


class RoundTrip:
    """Smoothed round trip and the retransmission time-out made of it (RFC 6298, without its one-second floor)."""

    def __init__(self) -> None:
        self.smoothed_us, self._deviation_us = 0.0, 0.0
        self.rto_us = 300_000

    def add(self, sample_us: int) -> None:
        """One measured round trip; echoed times make those of retransmissions as good as any."""
        if self.smoothed_us:
            self._deviation_us += (abs(sample_us - self.smoothed_us) - self._deviation_us) / 4
            self.smoothed_us += (sample_us - self.smoothed_us) / 8
        else:
            self.smoothed_us, self._deviation_us = sample_us, sample_us / 2
        self.rto_us = min(max(int(self.smoothed_us + 4 * self._deviation_us), MIN_RTO_US), MAX_RTO_US)


@dataclass(slots=True)
class _Flight:
    message: bytes
    due_us: int
    tries: int = 1


class SendChannel:
    """What was promised and is not yet known to have arrived. `limit` messages may be pending, in flight or not."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue, self._flight = deque[bytes](), dict[int, _Flight]()
        self.reset()

    def reset(self) -> int:
        """Starts at sequence number 0 with an empty queue; returns how many messages that drops."""
        dropped = self.pending
        self._queue.clear()
        self._flight.clear()
        self._base = self._next = 0
        self._credit = FIRST_CREDIT
        self._wake_us = 0
        return dropped

    @property
    def pending(self) -> int:
        """Messages whose arrival is not yet known."""
        return len(self._queue) + len(self._flight)

    def push(self, message: bytes) -> bool:
        """Takes one message, and with it the promise; False when too many are pending."""
        if self.pending >= self._limit:
            return False
        self._queue.append(message)
        return True

    def resume(self) -> None:
        """A new session with the same peer: whatever is in flight is sent again at once."""
        for flight in self._flight.values():
            flight.due_us, flight.tries = 0, 1
        self._wake_us = 0
        self._credit = (self._next + FIRST_CREDIT) & _MASK

    def take_due(self, now_us: int, rto_us: int) -> tuple[int, bytes, bool] | None:
        """What to send now: (sequence number, message, whether again); None when nothing is due."""
        if self._flight and self._wake_us <= now_us:
            for seq, flight in self._flight.items():
                if flight.due_us <= now_us:
                    flight.due_us = now_us + min(rto_us << min(flight.tries, 3) >> 1, MAX_RTO_US)
                    flight.tries += 1
                    return seq, flight.message, True
            self._wake_us = min(flight.due_us for flight in self._flight.values())
        if not self._queue or not self._may_send():
            return None
        seq, message = self._next, self._queue.popleft()
        self._next = (seq + 1) & _MASK
        self._flight[seq] = _Flight(message, now_us + rto_us)
        self._wake_us = min(self._wake_us, now_us + rto_us) if len(self._flight) > 1 else now_us + rto_us
        return seq, message, False

    def _may_send(self) -> bool:
        ahead = (self._credit - self._next) & _MASK
        return 0 < ahead < _HALF and (self._next - self._base) & _MASK < MAX_WINDOW

    def wake_us(self) -> int | None:
        """When something is next due: 0 for at once, None for never unless an acknowledgement comes."""
        if self._queue and self._may_send():
            return 0
        return self._wake_us if self._flight else None

    def acknowledge(self, next_seq: int, limit: int, mask: int) -> bool:
        """Takes an acknowledgement. False, and nothing changes, when it is older than another or cannot be."""
        if (next_seq - self._base) & _MASK > (self._next - self._base) & _MASK:
            return False
        while self._base != next_seq:
            self._flight.pop(self._base, None)
            self._base = (self._base + 1) & _MASK
        seq = next_seq
        while mask:
            seq = (seq + 1) & _MASK
            if mask & 1:
                self._flight.pop(seq, None)
            mask >>= 1
        if 0 < (limit - self._credit) & _MASK < _HALF and (limit - next_seq) & _MASK <= MAX_WINDOW:
            self._credit = limit
        return True


class ReceiveChannel:
    """Puts messages in order, once each. `unread` are delivered and not yet taken by the application."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts at sequence number 0; what the application has not yet taken stays readable."""
        self.next, self._held = 0, dict[int, bytes]()
        self.unread = 0
        self.owes_ack, self.echo_ms = True, 0

    def accept(self, seq: int, message: bytes, t_ms: int) -> list[bytes] | None:
        """The messages that are now in order; None for one that came before, or exceeds the credit given."""
        self.owes_ack, self.echo_ms = True, t_ms
        ahead = (seq - self.next) & _MASK
        if ahead >= self._room() or seq in self._held:
            return None
        self._held[seq] = message
        ready = []
        while (found := self._held.pop(self.next, None)) is not None:
            ready.append(found)
            self.next = (self.next + 1) & _MASK
        self.unread += len(ready)
        return ready

    def _room(self) -> int:
        return max(0, MAX_WINDOW - self.unread)

    def taken(self) -> None:
        """The application has taken one message; the peer gets new credit before it runs out."""
        self.unread -= 1
        self.owes_ack |= self.unread in (0, MAX_WINDOW // 2)

    def acknowledgement(self) -> tuple[int, int, int]:
        """(next, limit, mask) for the peer."""
        mask = 0
        for seq in self._held:
            mask |= 1 << ((seq - self.next - 1) & _MASK)
        self.owes_ack = False
        return self.next, (self.next + self._room()) & _MASK, mask
