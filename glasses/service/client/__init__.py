"""Clients of the model service, for apps: they need numpy, msgspec and websockets, and no model runtime.

from glasses.service.client import SyncClient, WebSocket

with SyncClient(lambda: WebSocket("unix:/run/glasses.sock")) as client:
    session = client.open()
    session.feed("What is the capital of France?")
    for token in session.generate():
        print(token.text, end="")
"""

from glasses.service.client.client import Client, RemoteSession
from glasses.service.client.gradient_client import GradientClient
from glasses.service.client.sync_client import SyncClient, SyncSession
from glasses.service.client.tool_app import ToolApp, ToolError
from glasses.service.client.transport import Transport, WebSocket
from glasses.service.protocol.events import Description, TokenInfo, TokenList
from glasses.service.protocol.messages import (
    AddToken,
    Example,
    GenerationParams,
    ListTokens,
    RemoveToken,
    TrainTokens,
)
from glasses.service.protocol.packing import Input
from glasses.service.protocol.tool_messages import ToolOffer

__all__ = [
    "AddToken",
    "Client",
    "Description",
    "Example",
    "GenerationParams",
    "GradientClient",
    "Input",
    "ListTokens",
    "RemoteSession",
    "RemoveToken",
    "SyncClient",
    "SyncSession",
    "TokenInfo",
    "TokenList",
    "ToolApp",
    "ToolError",
    "ToolOffer",
    "TrainTokens",
    "Transport",
    "WebSocket",
]
