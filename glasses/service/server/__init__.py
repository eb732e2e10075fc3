"""The server: sessions, HTTP and WebSocket, and the engine that they share."""
