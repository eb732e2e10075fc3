"""Lets other agents use the running glasses by `glasses mcp`, as far as the configuration allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple

from glasses.assistant.agent_access import AgentAccess
from glasses.assistant.agent_socket import serving
from glasses.assistant.assistant import Assistant
from glasses.assistant.config import AssistantConfig
from glasses.errors import InputError
from glasses.tools.store import ToolStore


@contextmanager
def agents_served(
    config: AssistantConfig, assistant: Assistant, store: ToolStore, *, note: Callable[[str], None]
) -> Iterator[None]:
    """Serves them while this lasts; where the socket cannot be had, with a note, the wearer is served all the same."""
    allow = config.mcp.allow
    with ExitStack() as stack:
        if any(astuple(allow)):
            access = AgentAccess(_WornAssistant(assistant), allow, store, note=note)
            if access.handlers:
                assistant.observers.add(access)
            try:
                stack.enter_context(serving(access.answer))
            except InputError as error:
                note(f"no agents can connect: {error}")
        yield


class _WornAssistant:
    """The assistant as agents may use it."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    @property
    def muted(self) -> bool:
        return self._assistant.muted

    def look(self) -> None:
        self._assistant.devices.camera.look()

    def say(self, text: str) -> None:
        self._assistant.announcements.say(text, "agent")

    def publish(self, event: object) -> None:
        self._assistant.observers.publish(event)
