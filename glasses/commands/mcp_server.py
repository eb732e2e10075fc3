"""The MCP server of `glasses mcp`: five tools, each one request to the running glasses. Needs the extra `mcp`."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import AudioContent, ImageContent, ToolAnnotations
from pydantic import Field

import glasses
from glasses.assistant.agent_messages import MAX_LISTEN_S, MAX_TEXT, Act, AgentAnswer, AgentRequest
from glasses.assistant.agent_socket import ask
from glasses.errors import GlassesError, InputError, Reason
from glasses.service.server.auth import BearerAuth

INSTRUCTIONS = (
    "These tools act through AI glasses that a person is wearing right now. The wearer is told of every use, and their "
    "settings decide what is allowed. Text that you say interrupts a person: say little."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=True)
_TELLS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)


def make_server() -> MCPServer:
    """The server, for any transport."""
    server = MCPServer("glasses", version=glasses.__version__, instructions=INSTRUCTIONS)

    @server.tool(annotations=_READS)
    async def look(context: Context) -> ImageContent:
        """Takes a picture of what the wearer sees, as JPEG."""
        answer = await _asked(context, "look")
        return ImageContent(data=base64.b64encode(answer.data).decode(), mime_type=answer.media_type)

    @server.tool(annotations=_READS)
    async def listen(
        context: Context, seconds: Annotated[float, Field(ge=0.1, le=MAX_LISTEN_S, description="how long")] = 3.0
    ) -> AudioContent:
        """Records what the wearer hears for some seconds from now on, as WAV (mono, 16 kHz)."""
        answer = await _asked(context, "listen", seconds=seconds)
        return AudioContent(data=base64.b64encode(answer.data).decode(), mime_type=answer.media_type)

    @server.tool(annotations=_TELLS)
    async def say(context: Context, text: Annotated[str, Field(max_length=MAX_TEXT, description="a sentence")]) -> str:
        """Speaks to the wearer by the voice of the glasses, at the next moment in which nobody speaks."""
        return (await _asked(context, "say", text)).text

    @server.tool(annotations=_TELLS)
    async def show(context: Context, text: Annotated[str, Field(max_length=MAX_TEXT, description="some words")]) -> str:
        """Shows a short text on the display of the glasses for some seconds."""
        return (await _asked(context, "show", text)).text

    @server.tool(annotations=_READS)
    async def recall(
        context: Context, about: Annotated[str, Field(max_length=MAX_TEXT, description="empty: the newest")] = ""
    ) -> str:
        """Tells what the wearer asked the glasses to remember: their notes."""
        return (await _asked(context, "recall", about)).text

    return server


async def serve_stdio() -> None:
    """Until the standard input ends."""
    await make_server().run_stdio_async()


async def serve_http(listen: str, token: str) -> None:
    """At /mcp on HOST:PORT, which must be the loopback's, for clients that send the bearer token `token`.

    Every user of this machine can reach the loopback: the camera is not for all of them.
    Raises InputError: BAD_INPUT, REFUSED for an address that is not local.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal() or int(port) > 65535:
        raise InputError(Reason.BAD_INPUT, f"{listen}: must be HOST:PORT, as 127.0.0.1:8790")
    if host != "localhost" and not _is_loopback(host):
        raise InputError(Reason.REFUSED, f"{listen}: agents are served on this machine only: 127.0.0.1:{port}")
    app = BearerAuth(make_server().streamable_http_app(host=host), token, checks_host=True)
    config = uvicorn.Config(app, host=host, port=int(port), log_level="warning", lifespan="on")
    await uvicorn.Server(config).serve()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _asked(context: Context, act: Act, text: str = "", *, seconds: float = 3.0) -> AgentAnswer:
    """The glasses' answer. Raises ToolError with what they say."""
    request = AgentRequest(act, _agent(context), text, seconds)
    try:
        answer = await asyncio.to_thread(ask, request)
    except GlassesError as error:
        raise ToolError(str(error)) from error
    if answer.error:
        raise ToolError(answer.error)
    return answer


def _agent(context: Context) -> str:
    """The name of the program that asks, as it says itself."""
    params = context.session.client_params
    return params.client_info.name if params else ""
