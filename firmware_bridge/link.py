"""The host's end of the link, without any I/O: bytes and times in, bytes and messages out.

One state machine: CLOSED, OPENING (the driver is to open a transport), GREETING, KEYING, UP, WAITING (until the next
try). Times are microseconds of any steady clock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from firmware_bridge import framing
from firmware_bridge.channel import Pace, ReceiveChannel, RoundTrip, SendChannel
from firmware_bridge.clock import ClockSync
from firmware_bridge.errors import LinkError
from firmware_bridge.greeting import Greeting, Refused
from firmware_bridge.protocol import MAX_MESSAGE, layout, value_of
from firmware_bridge.security import Sealer
from firmware_bridge.states import Change, Config, Counters, State, Why

HELLO, NOISE2, SEALED = value_of("FRAME_HELLO"), value_of("FRAME_NOISE2"), value_of("FRAME_SEALED")
DATA, ACK, PING, PONG = (value_of(f"FRAME_{name}") for name in ("DATA", "ACK", "PING", "PONG"))
BYE = value_of("FRAME_BYE")
CONTROL, AUDIO, BULK = (value_of(f"CHANNEL_{name}") for name in ("CONTROL", "AUDIO", "BULK"))
CHANNELS = (CONTROL, AUDIO, BULK)
_DATA, _ACK, _PING, _PONG = (layout(f"frame_{name}") for name in ("data", "ack", "ping", "pong"))
_SIZES = {ACK: _ACK.size, PING: _PING.size, PONG: _PONG.size, BYE: layout("frame_bye").size}


class Link:
    """See the module. The driver calls `received`, `transmit`, `opened`, `lost`; `wake_us` says when to call again."""

    def __init__(self, config: Config | None = None, random: Callable[[int], bytes] = os.urandom) -> None:
        self.config = config or Config()
        self.state = State.CLOSED
        self.counters, self.clock, self.round_trip = Counters(), ClockSync(), RoundTrip()
        self.changes: deque[Change] = deque()
        self.inbox: deque[tuple[int, bytes]] = deque()
        self._decoder = framing.Decoder()
        self._greeting = Greeting(self.config.key, random)
        self._pace = Pace(self.round_trip)
        limits = self.config.queue_limits
        self._send = [SendChannel(limits[CONTROL]), SendChannel(limits[AUDIO]), SendChannel(limits[BULK], self._pace)]
        self._receive = [ReceiveChannel() for _ in CHANNELS]
        self._sealer: Sealer | None = None
        self._session = 0
        self._peer_epoch: int | None = None
        self._wait_us = self.config.first_wait_us
        self._deadline_us = 0  # GREETING, KEYING: give up; WAITING: try again
        self._last_received_us = self._ping_us = 0
        self._ping_id = 0
        self._urgent: deque[bytes] = deque()  # bodies of answers that are due now

    # Called by the driver.

    def start(self, now_us: int) -> None:
        """Begins; the driver opens a transport and says `opened`, or `lost`."""
        self._enter(State.OPENING, Why.ASKED)

    def opened(self, now_us: int) -> None:
        """A fresh transport: greet."""
        self._decoder.reset()
        self._greeting.begin()
        self._deadline_us = now_us + self.config.greeting_us
        self._enter(State.GREETING, Why.OPENED)

    def lost(self, now_us: int, why: Why, detail: str = "") -> None:
        """The session is over; what was promised is kept and sent in the next one."""
        if self.state in (State.CLOSED, State.WAITING):
            return
        self._sealer = None
        self._urgent.clear()
        self._deadline_us = now_us + self._wait_us
        self._wait_us = min(self._wait_us * 2, self.config.longest_wait_us)
        self._enter(State.WAITING, why, detail)

    def close(self, why: Why = Why.ASKED, detail: str = "") -> None:
        """Ends for good. A last `transmit` carries the farewell when the link was up."""
        if self.state is State.UP:
            self._urgent.append(bytes((BYE, self._session)))
        self._enter(State.CLOSED, why, detail)

    def received(self, data: bytes, now_us: int) -> None:
        """Takes bytes in any chunking."""
        self.counters.bytes_in += len(data)
        bad = self._decoder.bad
        for body in self._decoder.feed(data):
            self._frame(body, now_us)
        self.counters.bad_frames += self._decoder.bad - bad

    # Called by the application.

    def send(self, channel: int, message: bytes) -> bool:
        """Promises to deliver `message` once and in order, over any number of sessions with the same boot of the peer.

        False when the channel's queue is full: nothing was promised. `Change.dropped` tells of a peer's restart.
        """
        assert 0 < len(message) <= MAX_MESSAGE  # protocol.encode checks it
        return self.state is not State.CLOSED and self._send[channel].push(message)

    def take(self) -> tuple[int, bytes] | None:
        """The next (channel, message); taking it gives the peer credit for another."""
        if not self.inbox:
            return None
        channel, message = self.inbox.popleft()
        self._receive[channel].taken()
        return channel, message

    def pending(self, channel: int) -> int:
        """Messages of the channel whose arrival is not yet known."""
        return self._send[channel].pending

    # Bytes to send.

    def transmit(self, now_us: int, budget: int = 2048) -> bytes:
        """Up to about `budget` bytes that are due, the most urgent first; empty when there is nothing."""
        self._expire(now_us)
        out: list[bytes] = []
        size = 0
        while size < budget and (body := self._next_body(now_us)) is not None:
            if self._sealer and self.state in (State.UP, State.CLOSED):
                body = self._sealer.seal(self._session, body)
            out.append(framing.encode(body))
            size += len(out[-1])
        self.counters.bytes_out += size
        return b"".join(out)

    def wake_us(self) -> int | None:
        """When `transmit` must be called even if nothing happens; 0: now."""
        if self.state in (State.GREETING, State.KEYING):
            return min(self._greeting.due_us, self._deadline_us)
        if self.state is State.WAITING:
            return self._deadline_us
        if self.state is not State.UP:
            return 0 if self._urgent else None
        if self._urgent:
            return 0
        times = [channel.wake_us() for channel in self._send] + [channel.ack_due_us for channel in self._receive]
        silent_us = self._last_received_us + self.config.silence_us
        return min([self._ping_us, silent_us, *(t for t in times if t is not None)])

    def _next_body(self, now_us: int) -> bytes | None:
        if self._urgent:
            return self._urgent.popleft()
        if self.state in (State.GREETING, State.KEYING):
            return self._greeting.due(now_us)
        if self.state is not State.UP:
            return None
        return self._acknowledgement(now_us) or (self._ping(now_us) if self._ping_us <= now_us else self._data(now_us))

    def _acknowledgement(self, now_us: int) -> bytes | None:
        for number, channel in enumerate(self._receive):
            if channel.ack_due_us is not None and channel.ack_due_us <= now_us:
                return _ACK.pack(ACK, self._session, number, 0, *channel.acknowledgement())
        return None

    def _data(self, now_us: int) -> bytes | None:
        for number, channel in enumerate(self._send):
            if due := channel.take_due(now_us, self.round_trip.rto_us):
                seq, message, again = due
                self.counters.repeated += again
                self.counters.messages_out += not again
                return _DATA.pack(DATA, self._session, number, 0, seq, now_us // 1000 & 0xFFFF) + message
        return None

    def _ping(self, now_us: int) -> bytes:
        fast = self._ping_id < 8  # the first ones find the clock
        self._ping_us = now_us + (self.config.ping_us // 10 if fast else self.config.ping_us)
        self._ping_id = (self._ping_id + 1) & 0xFFFF
        return _PING.pack(PING, self._session, self._ping_id, now_us)

    def _expire(self, now_us: int) -> None:
        if self.state is State.WAITING and now_us >= self._deadline_us:
            self._enter(State.OPENING, Why.RETRY)
        elif self.state in (State.GREETING, State.KEYING) and now_us >= self._deadline_us:
            keying = self.state is State.KEYING
            self.lost(now_us, Why.NO_KEY_ANSWER if keying else Why.NO_ANSWER, self._greeting.advice)
        elif self.state is State.UP and now_us - self._last_received_us >= self.config.silence_us:
            self.lost(now_us, Why.SILENT, f"nothing heard for {self.config.silence_us / 1e6:.1f} s")
        elif self.state is State.UP and self._sealer and self._sealer.worn_out:
            self.lost(now_us, Why.WORN_OUT)

    # Bytes received.

    def _frame(self, body: bytes, now_us: int) -> None:
        kind = body[0]
        if self.state in (State.GREETING, State.KEYING) and kind in (HELLO, NOISE2):
            self._greet(body, now_us)
            return
        if self.state is not State.UP or kind in (HELLO, NOISE2):
            return  # late answers to an earlier greeting
        if self._sealer:
            opened = self._sealer.open(body) if kind == SEALED and len(body) > 6 and body[1] == self._session else None
            if not opened:
                self.counters.forged += 1
                return
            body = opened
        if len(body) < 2 or body[1] != self._session:
            self.counters.forged += 1
            return
        self._last_received_us = now_us
        self._handle(body, now_us)

    def _handle(self, body: bytes, now_us: int) -> None:
        kind = body[0]
        if kind == DATA and len(body) > _DATA.size and body[2] < len(CHANNELS):
            _, _, number, _, seq, t_ms = _DATA.unpack_from(body)
            ready = self._receive[number].accept(seq, body[_DATA.size :], t_ms, now_us)
            if ready is None:
                self.counters.duplicates += 1
                return
            self.counters.messages_in += len(ready)
            self.inbox.extend((number, message) for message in ready)
        elif len(body) != _SIZES.get(kind):
            self.counters.malformed += 1
        elif kind == ACK and body[2] < len(CHANNELS):
            _, _, number, _, next_seq, limit, mask, echo_ms = _ACK.unpack(body)
            if self._send[number].acknowledge(next_seq, limit, mask, now_us) and echo_ms:
                self._sample((now_us // 1000 - echo_ms) & 0xFFFF)
        elif kind == PONG:
            _, _, _, t1_us, t2_us, t3_us = _PONG.unpack(body)
            self.clock.add(t1_us, t2_us, t3_us, now_us)
        elif kind == BYE:
            self.lost(now_us, Why.PEER_ENDED)
        else:
            self.counters.malformed += 1

    def _sample(self, round_trip_ms: int) -> None:
        if round_trip_ms < 10_000:  # an echo of a time before an outage says nothing of now
            self.round_trip.add(round_trip_ms * 1000)

    def _greet(self, body: bytes, now_us: int) -> None:
        try:
            progress = self._greeting.answered(body)
        except Refused as refused:
            self.close(Why(refused.why), str(refused))
            return
        except LinkError:  # not from whoever has the key: the right answer may still come
            self.counters.forged += 1
            return
        if progress == "keying" and self.state is State.GREETING:
            self._enter(State.KEYING, Why.GREETED)
        elif progress == "done":
            self._up(now_us)

    def _up(self, now_us: int) -> None:
        restarted = self._peer_epoch is not None and self._greeting.peer_epoch != self._peer_epoch
        dropped = 0
        self.round_trip.begin()
        self._pace.begin()
        for sender, receiver in zip(self._send, self._receive, strict=True):
            if restarted:
                dropped += sender.reset()
                receiver.reset()
            sender.resume()
            receiver.ack_at_once()
        if restarted:
            self.inbox.clear()
            self.clock.reset()
        self._sealer, self._session = self._greeting.sealer, self._greeting.session
        self._peer_epoch = self._greeting.peer_epoch
        self._wait_us = self.config.first_wait_us
        self._last_received_us = self._ping_us = now_us
        self._ping_id = 0
        self.counters.sessions += 1
        self._enter(State.UP, Why.GREETED, "the device has restarted" if restarted else "", dropped)

    def _enter(self, state: State, why: Why, detail: str = "", dropped: int = 0) -> None:
        self.state = state
        self.changes.append(Change(state, why, detail, dropped))
