"""A session of the service does each request once, and what it keeps is bounded."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from glasses.service.protocol import events, messages, wire
from glasses.service.server.service import Caps, Service
from glasses.service.server.session import KEPT_ANSWERS, Session
from tests.faults.counting import CountingEngine

_events: wire.Decoder[events.Event] = wire.Decoder(events.Event)


class Peer:
    """A connection that keeps what it was sent."""

    key, dtype = "peer", "f32"

    def __init__(self) -> None:
        self.sent: list[events.Event] = []

    def send(self, data: bytes) -> None:
        self.sent.append(_events.decode(data)[0])


def malformed(session: str, seq: int) -> bytes:
    header = {"body": {"type": "feed", "rid": seq, "session": session, "seq": seq, "parts": "not a list"}}
    data = json.dumps(header).encode()
    return b"GLW1" + struct.pack("<I", len(data)) + data


def with_session(scenario: Callable[[Service, Session, Any], Awaitable[None]]) -> None:
    async def run() -> None:
        service, peer = Service(CountingEngine, backend="counting", caps=Caps()), Peer()
        await service.start()
        try:
            await service.receive(peer, wire.encode(messages.Open(1)))  # type: ignore[arg-type]
            opened = peer.sent.pop()
            assert isinstance(opened, events.Opened)
            await scenario(service, service.session(opened.session), peer)
        finally:
            await service.close()

    asyncio.run(run())


def test_refused_answers_of_malformed_requests_are_bounded() -> None:
    async def scenario(service: Service, session: Session, peer: Any) -> None:
        n = 3 * KEPT_ANSWERS
        for seq in range(1, n + 1):
            await service.receive(peer, malformed(session.id, seq))
        assert [event.seq for event in peer.sent] == list(range(1, n + 1))
        assert {event.reason for event in peer.sent} == {"bad_input"}
        assert session.received == n
        assert len(session._answers) == KEPT_ANSWERS
        peer.sent.clear()
        feed = messages.Feed(7, session.id, n, [messages.Text("x")])
        await service.receive(peer, wire.encode(feed))  # repeated, now well formed: it had its turn
        feed = messages.Feed(8, session.id, 1, [messages.Text("x")])
        await service.receive(peer, wire.encode(feed))
        assert [event.reason for event in peer.sent] == ["bad_input", "replayed"]

    with_session(scenario)


def test_answers_of_a_slow_request_among_refused_ones_are_bounded() -> None:
    async def scenario(service: Service, session: Session, peer: Any) -> None:
        await service.receive(peer, wire.encode(messages.Feed(1, session.id, 1, [messages.Text("x")])))
        for seq in range(2, KEPT_ANSWERS + 10):  # the feed is answered only after all of these
            await service.receive(peer, malformed(session.id, seq))
        while not any(isinstance(event, events.Done) for event in peer.sent):
            await asyncio.sleep(0.001)
        assert len(session._answers) == KEPT_ANSWERS

    with_session(scenario)
