"""Tools of MCP servers (Model Context Protocol), through its official SDK (extra `mcp`)."""
