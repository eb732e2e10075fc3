"""An MCP server that misbehaves on request, for test_mcp_servers. Run as a process: python a_server.py [http PORT]."""

from __future__ import annotations

import base64
import os
import sys
import time
from typing import Any

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("a server")


class Place(BaseModel):
    street: str
    number: int


class Order(BaseModel):
    what: str
    places: list[Place]


@server.tool()
def order(order: Order, note: str = "") -> str:
    """Orders something.\x07 And a second sentence."""
    return f"{order.what} for {len(order.places)} places{note and ', ' + note}."


@server.tool(name="getThing-now", annotations=ToolAnnotations(destructive_hint=True))
def get_thing(context: str = "none") -> str:
    """Gets a thing."""
    return f"The context is {context}."


@server.tool()
def refuse() -> str:
    """Refuses."""
    raise ToolError("there is none left")


@server.tool()
def wait(seconds: float) -> str:
    """Waits."""
    time.sleep(seconds)
    return "Done waiting."


@server.tool()
def die() -> str:
    """Ends the process."""
    os._exit(3)


@server.tool()
def flood() -> str:
    """Sends more than a message may hold."""
    return "x" * (5 << 20)


@server.tool()
def talk() -> str:
    """Says a lot."""
    return "One sentence of some length about nothing at all. " * 40


@server.tool()
def picture() -> Any:
    """Gives a picture."""
    return ["Here it is.", Image(data=base64.b64decode("iVBORw0KGgo="), format="png")]


@server.tool()
def environment() -> str:
    """Tells the names of its environment's variables."""
    return " ".join(sorted(os.environ))


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    elif sys.argv[1:2] == ["hang"]:
        time.sleep(60)
    else:
        server.run()
