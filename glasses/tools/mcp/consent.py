"""Which MCP servers the wearer has agreed to use: one JSON file in the state folder."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from glasses.errors import InputError, Reason
from glasses.tools.mcp.config import ServerConfig

NAME = "mcp-consent.json"
MAX_BYTES = 64 * 1024


class Consents:
    """Server name -> fingerprint of what was agreed to. Any thread may call."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist. One that cannot be read counts as no consent: the wearer is asked again."""
        self._path, self._lock = path, threading.Lock()

    def is_given(self, server: ServerConfig) -> bool:
        """Whether the wearer has agreed to this server, as it is configured now."""
        with self._lock:
            return self._read().get(server.name) == server.fingerprint

    def give(self, server: ServerConfig) -> None:
        """The wearer agrees. It is on the disk when this returns. Raises InputError(NO_SPACE)."""
        with self._lock:
            self._write(self._read() | {server.name: server.fingerprint})

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, given: dict[str, str]) -> None:
        written = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(file, "w") as opened:
                json.dump(given, opened)
                opened.flush()
                os.fsync(file)
            written.replace(self._path)
        except OSError as error:
            raise InputError(Reason.NO_SPACE, f"the consent could not be written down: {error.strerror}") from error
