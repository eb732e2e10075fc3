"""One channel of the link, each direction: sequence numbers, selective acknowledgement, credit, retransmission.

Sequence numbers are 16 bits and wrap; at most
MAX_WINDOW messages are in flight, so that serial arithmetic (RFC 1982) is never ambiguous.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from firmware_bridge.protocol import MAX_WINDOW

FIRST_FLIGHT = 8  # frames of bulk
MIN_FLIGHT = 4
ACK_EVERY = 4  # frames in order
ACK_WAIT_US = 10_000
QUEUE_US = 150_000  # that bulk may make others wait
FIRST_CREDIT = 4  # frames that may be sent before the peer has said what it can hold
MAX_RTO_US = 2_000_000
MIN_RTO_US = 30_000
_NEVER_US = 1 << 40
_MASK = 0xFFFF
_HALF = 0x8000


class RoundTrip:
    """Smoothed round trip and the retransmission time-out made of it (RFC 6298, without its one-second floor)."""

    def __init__(self) -> None:
        self.smoothed_us, self._deviation_us = 0.0, 0.0
        self.rto_us = 300_000
        self.least_us = _NEVER_US

    def begin(self) -> None:
        """A new session, over another wire perhaps: the quickest round trip is not known."""
        self.least_us = _NEVER_US

    @property
    def queued_us(self) -> float:
        """How much longer than the quickest a round trip takes now."""
        return max(0.0, self.smoothed_us - self.least_us)

    def add(self, sample_us: int) -> None:
        """One measured round trip; echoed times make those of retransmissions as good as any."""
        if self.smoothed_us:
            self._deviation_us += (abs(sample_us - self.smoothed_us) - self._deviation_us) / 4
            self.smoothed_us += (sample_us - self.smoothed_us) / 8
        else:
            self.smoothed_us, self._deviation_us = sample_us, sample_us / 2
        self.least_us = min(self.least_us, sample_us)
        self.rto_us = min(max(int(self.smoothed_us + 4 * self._deviation_us), MIN_RTO_US), MAX_RTO_US)


class Pace:
    """How much bulk may be in flight: ack-clocked, and less when it only makes a queue longer, as LEDBAT (RFC 6817).

    What waits on the way stands in front of sound, so bulk fills a slow wire and not the buffers before it.
    """

    def __init__(self, round_trip: RoundTrip) -> None:
        self._round_trip = round_trip
        self.begin()

    def begin(self) -> None:
        """A new session."""
        self.frames, self._acked, self._shrunk_us = FIRST_FLIGHT, 0, 0

    def arrived(self, count: int, now_us: int) -> None:
        """So many more are known to have arrived."""
        if self._round_trip.queued_us > QUEUE_US:
            self._fewer(now_us)
            return
        self._acked += count
        if self._acked >= self.frames:
            self._acked = 0
            self.frames = min(self.frames + 1, MAX_WINDOW)

    def lost(self, now_us: int) -> None:
        """Something had to be sent again. Where no queue grows, that was noise, and sending less would not help."""
        if self._round_trip.queued_us > QUEUE_US / 2:
            self._fewer(now_us)

    def _fewer(self, now_us: int) -> None:
        """Counts once a round trip."""
        if now_us - self._shrunk_us >= self._round_trip.smoothed_us:
            self.frames, self._shrunk_us = max(self.frames * 7 // 8, MIN_FLIGHT), now_us


@dataclass(slots=True)
class _Flight:
    message: bytes
    due_us: int
    again: bool = False  # sent a second time in this session


class SendChannel:
    """What was promised and is not yet known to have arrived. `limit` messages may be pending, in flight or not."""

    def __init__(self, limit: int, pace: Pace | None = None) -> None:
        self._limit, self._pace = limit, pace
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
            flight.due_us, flight.again = 0, False
        self._wake_us = 0
        self._credit = (self._next + FIRST_CREDIT) & _MASK

    def take_due(self, now_us: int, rto_us: int) -> tuple[int, bytes, bool] | None:
        """What to send now: (sequence number, message, whether again); None when nothing is due."""
        if self._flight and self._wake_us <= now_us:
            for seq, flight in self._flight.items():
                if flight.due_us <= now_us:
                    # Doubled once: echoes time what was sent again too, so a slow wire makes the time-out itself
                    # longer, and on a noisy one what is lost three times in a row holds up all that follows it.
                    flight.due_us = now_us + min(rto_us << flight.again, MAX_RTO_US)
                    flight.again = True
                    if self._pace is not None:
                        self._pace.lost(now_us)
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
        most = MAX_WINDOW if self._pace is None else self._pace.frames
        return 0 < ahead < _HALF and (self._next - self._base) & _MASK < most

    def wake_us(self) -> int | None:
        """When something is next due: 0 for at once, None for never unless an acknowledgement comes."""
        if self._queue and self._may_send():
            return 0
        return self._wake_us if self._flight else None

    def acknowledge(self, next_seq: int, limit: int, mask: int, now_us: int) -> bool:
        """Takes an acknowledgement. False, and nothing changes, when it is older than another or cannot be."""
        if (next_seq - self._base) & _MASK > (self._next - self._base) & _MASK:
            return False
        if self._pace is not None:
            self._pace.arrived((next_seq - self._base) & _MASK, now_us)
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
        self.ack_at_once()

    def ack_at_once(self) -> None:
        """The peer needs to know now where we are."""
        self.ack_due_us: int | None = 0  # None: nothing to acknowledge
        self._unacked, self._echo_ms = 0, 0

    def accept(self, seq: int, message: bytes, t_ms: int, now_us: int) -> list[bytes] | None:
        """The messages that are now in order; None for one that came before, or exceeds the credit given.

        What comes in order is acknowledged a few at a time; anything else at once.
        """
        if self._unacked == 0:
            self._echo_ms = (
                t_ms  # of the first one that waits: so the peer's time-out allows for our waiting (RFC 7323)
            )
        self._unacked += 1
        ahead = (seq - self.next) & _MASK
        hurry = ahead > 0 or bool(self._held) or self._unacked >= ACK_EVERY
        self.ack_due_us = 0 if hurry else now_us + ACK_WAIT_US if self.ack_due_us is None else self.ack_due_us
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
        if self.unread == MAX_WINDOW // 2:  # the last credit given may be used up
            self.ack_due_us = 0

    def acknowledgement(self) -> tuple[int, int, int, int]:
        """(next, limit, mask, echo_ms) for the peer; it is not owed any more."""
        mask = 0
        for seq in self._held:
            mask |= 1 << ((seq - self.next - 1) & _MASK)
        echo_ms, self._echo_ms = self._echo_ms, 0  # a second echo would say how long ago that was
        self.ack_due_us, self._unacked = None, 0
        return self.next, (self.next + self._room()) & _MASK, mask, echo_ms
