"""How the routes read a body, and answer with a stream of server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from glasses.errors import GlassesError
from glasses.service.server.client_work import client_for
from glasses.service.server.http_app import read_body
from glasses.service.server.openai.answering import Answering
from glasses.service.server.openai.asked import Asked
from glasses.service.server.openai.reading import object_of
from glasses.service.server.problems import body_of, problem
from glasses.service.server.service import Service

MAX_BODY_BYTES = 24 << 20
DONE = "data: [DONE]\n\n"


def data(event: dict[str, Any], name: str | None = None) -> str:
    """One server-sent event."""
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(event)}\n\n"


def noted(notes: Sequence[str]) -> dict[str, Any]:
    """The field `notes` of an answer: what the readers found missing in its pictures and sounds, if anything."""
    return {"notes": list(notes)} if notes else {}


def handled(
    answer: Callable[[Request, dict[str, Any]], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """A route whose body is a JSON object; its errors become responses."""

    async def handle(request: Request) -> Response:
        try:
            return await answer(request, object_of(await read_body(request, MAX_BODY_BYTES)))
        except GlassesError as error:
            return problem(error)

    return handle


def endpoint(
    service: Service,
    read: Callable[[dict[str, Any], Service], Asked],
    answer: Callable[[Answering], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """A route whose body `read` makes into what is asked; `answer` answers it, once its prompt was fed."""

    async def fed(request: Request, values: dict[str, Any]) -> Response:
        asked = read(values, service)
        work = Answering(service, await client_for(request, service), asked)
        return await answer(await work.begin())

    return handled(fed)


async def streamed(events: AsyncIterator[str]) -> Response:
    """A stream of events. Raises GlassesError while a status can still be sent; a later error is the last event."""
    first = await anext(events)

    async def all_events() -> AsyncIterator[str]:
        try:
            yield first
            async for event in events:
                yield event
        except GlassesError as error:
            yield data(body_of(500, str(error), code=str(error.reason)))

    return StreamingResponse(all_events(), media_type="text/event-stream")
