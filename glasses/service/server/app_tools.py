"""Tools that apps bring: each is an entry in the assistant's registry, and a call of it is a message to its app.

A tool lives as long as the connection that offered it. Its app has LIMIT_S for an answer; one that is late, dies or
sends nonsense costs the wearer that call alone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec

from glasses.errors import InputError, Reason, RemoteError
from glasses.service.protocol import wire
from glasses.service.protocol.tool_messages import MAX_TOOLS, OfferTools, ToolCall, ToolOffer, ToolResult
from glasses.service.server.peers import Gate, Peer
from glasses.tools.registry import ToolRegistry
from glasses.tools.schema_struct import struct_of
from glasses.tools.tool import Tool, ToolContext

LIMIT_S = 10.0
MAX_SCHEMA_BYTES = 16 << 10
MAX_ARGUMENT_BYTES = 64 << 10
GONE = "The app that does this is not there any more."


@dataclass(slots=True)
class _App:
    """What one connection offers, and its calls that wait, by their number."""

    tools: list[Tool] = field(default_factory=list)
    calls: dict[int, Future[str]] = field(default_factory=dict)


class AppTools:
    """Belongs to the event loop that made it; the tools' functions may be called on any other thread."""

    def __init__(self, registry: ToolRegistry, gate: Gate) -> None:
        self._registry, self._gate, self._loop = registry, gate, asyncio.get_running_loop()
        self._apps: dict[Peer, _App] = {}
        self._numbers = itertools.count(1)

    def offer(self, peer: Peer, request: OfferTools) -> None:
        """Adds all the tools, or none. Raises InputError: BUSY for a name that is taken, BAD_INPUT for a schema that
        cannot be used; RemoteError(BUSY) for too many.
        """
        app = self._apps.get(peer, _App())
        if len(app.tools) + len(request.tools) > MAX_TOOLS:
            raise RemoteError(Reason.BUSY, f"an app may offer {MAX_TOOLS} tools")
        made = [self._tool(peer, one) for one in request.tools]
        self._registry.add(*made)
        app.tools += made
        self._apps[peer] = app

    def answer(self, peer: Peer, result: ToolResult) -> None:
        """Ends a call. Raises InputError(NOT_FOUND) where none of this number waits for this connection."""
        app = self._apps.get(peer)
        future = app.calls.get(result.call) if app else None
        if future is None:
            raise InputError(Reason.NOT_FOUND, f"no call {result.call} waits: it took over {LIMIT_S:.0f} s, or ended")
        if future.done():
            return
        if result.failed:
            future.set_exception(InputError(Reason.BAD_INPUT, result.said or "That did not work."))
        else:
            future.set_result(result.said)

    def leave(self, peer: Peer) -> None:
        """The connection is gone: so are its tools, and its calls have failed."""
        app = self._apps.pop(peer, None)
        if app is None:
            return
        self._registry.remove(*app.tools)
        self._gate.let_in(peer.key, -len(app.calls))
        for future in app.calls.values():
            if not future.done():
                future.set_exception(InputError(Reason.NO_NETWORK, GONE))

    def close(self) -> None:
        """All are gone."""
        for peer in list(self._apps):
            self.leave(peer)

    def _tool(self, peer: Peer, offer: ToolOffer) -> Tool:
        try:
            if len(json.dumps(offer.schema)) > MAX_SCHEMA_BYTES:
                raise ValueError(f"it is over {MAX_SCHEMA_BYTES >> 10} KB")
            arguments = struct_of(offer.name, offer.schema)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(Reason.BAD_INPUT, f"tool {offer.name}: its schema cannot be used: {error}") from error
        names = {one.name: one.encode_name for one in msgspec.structs.fields(arguments)}
        optional = {one.name for one in msgspec.structs.fields(arguments) if not one.required}

        def call(context: ToolContext, /, **given: Any) -> str:
            del context
            kept = {names[name]: value for name, value in given.items() if value is not None or name not in optional}
            return self._call(peer, offer.name, kept)

        examples = tuple(offer.examples)
        return Tool(
            offer.name,
            offer.description,
            arguments,
            call,
            examples,
            offer.asks_first,
            offer.reads_only,
            origin="an app",
        )

    def _call(self, peer: Peer, name: str, arguments: dict[str, Any]) -> str:
        """On another thread: asks the app and waits. InputError: TOO_LARGE, TIMEOUT, NO_NETWORK, what it says."""
        number, future = next(self._numbers), Future[str]()
        data = wire.encode(ToolCall(number, name, arguments))
        if len(data) > MAX_ARGUMENT_BYTES:
            raise InputError(Reason.TOO_LARGE, "That is too much for the app that does this.")
        if not self._soon(self._send, peer, number, future, data):
            raise InputError(Reason.NO_NETWORK, GONE)
        try:
            return future.result(LIMIT_S)
        except TimeoutError as error:
            raise InputError(Reason.TIMEOUT, "The app that does this did not answer.") from error
        finally:
            self._soon(self._forget, peer, number)

    def _soon(self, function: Callable[..., None], *arguments: Any) -> bool:
        """Has it called on the event loop; False where that is closed."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def _send(self, peer: Peer, number: int, future: Future[str], data: bytes) -> None:
        app = self._apps.get(peer)
        if app is None:
            future.set_exception(InputError(Reason.NO_NETWORK, GONE))
            return
        app.calls[number] = future
        self._gate.let_in(peer.key, 1)  # its answer is read though the wearer's turn is open
        peer.send(data)

    def _forget(self, peer: Peer, number: int) -> None:
        app = self._apps.get(peer)
        if app is not None and app.calls.pop(number, None) is not None:
            self._gate.let_in(peer.key, -1)
