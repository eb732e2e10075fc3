"""The request Act of a session: the tool that its turn asks for is called, and its sentence becomes the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from glasses.errors import GlassesError, ModelError, Reason, RemoteError
from glasses.service.protocol.events import Acted
from glasses.service.protocol.messages import Act
from glasses.service.server.conversation import Conversation

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class RunSlice(Protocol):
    """Runs one slice of the session's work on the engine's thread, in its turn."""

    def __call__(self, function: Callable[[], _T], /, *, can_abort: bool = True) -> Awaitable[_T]: ...


async def act(conversation: Conversation, run: RunSlice, request: Act, *, is_cancelled: bool) -> Acted:
    """Answers the request. The tool works on a thread of its own, and what it has done stays done.

    Raises RemoteError(UNSUPPORTED) where no tools are called for apps, ModelError(ABORTED) for a request that is
    cancelled; as `Conversation.plan` does, and what the call raises.
    """
    acts = conversation.host.acts
    if acts is None:
        raise RemoteError(Reason.UNSUPPORTED, "no tools are called for apps here")
    if is_cancelled:
        raise ModelError(Reason.ABORTED, "cancelled before it was done")
    planned = await run(lambda: conversation.plan(acts))
    if planned is None:
        return Acted(request.rid, request.session, conversation.n_past, request.seq)
    said = await asyncio.wrap_future(planned.start())
    try:
        await run(lambda: conversation.feed_said(said), can_abort=False)
    except GlassesError as error:  # it is done all the same
        log.info("a session does not keep what a tool said: %s", error)
    conversation.end_turn()
    return Acted(request.rid, request.session, conversation.n_past, request.seq, planned.tool, said)
