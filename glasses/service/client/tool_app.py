"""An app that brings tools to the wearer of running glasses, and is called back.

    app = ToolApp()

    @app.tool(examples=("How much room is left on the disk?",))
    def disk_space() -> str:
        \"\"\"Tells how much room is left on the disk.\"\"\"
        return "There are 20 gigabytes left."

    app.run()

The first line of the docstring is the tool's sentence, the annotations are the schema of its arguments (msgspec), and
what it returns is said. A ToolError says why it was not done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import msgspec

from glasses.errors import GlassesError, InputError, Reason, RemoteError
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.protocol.tool_messages import MAX_SAID, ToolCall, ToolOffer
from glasses.system.kernel_socket import kernel_socket_path

log = logging.getLogger(__name__)
START_S = 20.0  # the first app that connects starts the server: half a second, on a busy board some
AGAIN_S = 2.0  # between two tries to reach the glasses
Function = Callable[..., str]


class ToolError(InputError):
    """Why a tool did nothing, as a sentence for the wearer."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Reason.BAD_INPUT, sentence)


@dataclass(frozen=True, slots=True)
class _Tool:
    offer: ToolOffer
    arguments: type[msgspec.Struct]
    function: Function


class ToolApp:
    """`address` is that of this user's running glasses, where none is given."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._tools: dict[str, _Tool] = {}

    @overload
    def tool(self, function: Function, /) -> Function: ...
    @overload
    def tool(
        self, /, *, examples: tuple[str, ...] = (), asks_first: bool = False, reads_only: bool = False
    ) -> Callable[[Function], Function]: ...
    def tool(
        self,
        function: Function | None = None,
        /,
        *,
        examples: tuple[str, ...] = (),
        asks_first: bool = False,
        reads_only: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """Makes a tool of a function; see `ToolOffer`. Raises TypeError for one without a docstring or a type."""

        def add(given: Function) -> Function:
            arguments = _arguments(given)
            sentence = (inspect.getdoc(given) or "").splitlines()[0]
            name, schema = given.__name__, _schema(arguments)
            offer = ToolOffer(name, sentence, schema, list(examples), asks_first, reads_only)
            self._tools[name] = _Tool(offer, arguments, given)
            return given

        return add if function is None else add(function)

    def run(self) -> None:
        """Serves the tools until Ctrl-C. Raises GlassesError as `serve`."""
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """Serves the tools until it is cancelled; waits for the glasses where they do not run yet, or start anew.

        Raises RemoteError or InputError where the glasses refuse the tools.
        """
        while True:
            try:
                await self._serve_once()
            except RemoteError as error:
                if error.reason is not Reason.NO_NETWORK:
                    raise
                log.info("waiting for the glasses: %s", error)
            await asyncio.sleep(AGAIN_S)

    async def _serve_once(self) -> None:
        """Until the connection is lost, which raises RemoteError(NO_NETWORK)."""
        transport = WebSocket(self._address or f"unix:{kernel_socket_path()}", open_timeout_s=START_S)
        async with Client(transport, resume_s=0.0) as client:
            client.on_tool_call = self._answer
            await client.offer_tools([tool.offer for tool in self._tools.values()])
            await client.wait_lost()

    async def _answer(self, call: ToolCall) -> tuple[str, bool]:
        """What is said, and whether it failed."""
        tool = self._tools[call.name]
        try:
            arguments = msgspec.structs.asdict(msgspec.convert(call.arguments, tool.arguments))
            said = await asyncio.to_thread(tool.function, **arguments)
            return str(said)[:MAX_SAID], False
        except (GlassesError, msgspec.ValidationError) as error:
            return str(error)[:MAX_SAID], True
        except Exception:  # a bug of the app: it is told here, and the wearer hears that it did not work
            log.exception("tool %s failed", call.name)
            return "That did not work.", True


def _arguments(function: Function) -> type[msgspec.Struct]:
    name = function.__name__
    if not inspect.getdoc(function):
        raise TypeError(f"tool {name} needs a docstring: its first line tells the assistant what it is for")
    fields: list[Any] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.annotation is parameter.empty:
            raise TypeError(f"tool {name}: argument {parameter.name} needs a type")
        default = () if parameter.default is parameter.empty else (parameter.default,)
        fields.append((parameter.name, parameter.annotation, *default))
    return msgspec.defstruct(f"{name}_arguments", fields, forbid_unknown_fields=True, kw_only=True)


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    made = msgspec.json.schema(arguments)
    others = {name: one for name, one in made["$defs"].items() if name != arguments.__name__}
    return {"type": "object", **made["$defs"][arguments.__name__], **({"$defs": others} if others else {})}
