"""A small MCP server for test_mcp_by_voice: a house with blinds."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("house")


@server.tool()
def open_blinds() -> str:
    """Opens the blinds of the windows."""
    return "The blinds are open."


if __name__ == "__main__":
    server.run()
