"""The Unix socket by which `glasses mcp` reaches the running glasses: requests and answers, one JSON line each."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from glasses.assistant.agent_messages import (
    MAX_ANSWER_BYTES,
    MAX_LISTEN_S,
    MAX_REQUEST_BYTES,
    AgentAnswer,
    AgentRequest,
)
from glasses.errors import InputError, Reason, RemoteError
from glasses.system import kernel_socket
from glasses.system.supervised import SupervisedThread

log = logging.getLogger(__name__)
NAME = "glasses-agents.sock"
MAX_AGENTS = 8  # connected at the same time
ANSWER_S = MAX_LISTEN_S + 10.0  # the longest that an answer takes


@contextmanager
def serving(answer: Callable[[AgentRequest], AgentAnswer]) -> Iterator[Path]:
    """Answers this user's agents while this lasts; yields the socket's path. Raises InputError as `bound` does."""
    path = agents_socket_path()
    with kernel_socket.bound(path) as sock:
        server = _Server(sock, answer)
        try:
            yield path
        finally:
            server.close()


def agents_socket_path() -> Path:
    """Where the socket of this user's running glasses lies; it need not exist. Raises InputError(NOT_FOUND)."""
    return kernel_socket.kernel_socket_path().with_name(NAME)


def ask(request: AgentRequest, path: Path | None = None) -> AgentAnswer:
    """What the running glasses answer. Raises InputError(NOT_FOUND) where none run, RemoteError where they end."""
    path = path or agents_socket_path()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_S)
        try:
            sock.connect(str(path))
        except OSError as error:
            raise InputError(Reason.NOT_FOUND, "the glasses do not run: start them with `glasses run`") from error
        try:
            sock.sendall(msgspec.json.encode(request) + b"\n")
            with sock.makefile("rb") as file:
                line = file.readline(2 * MAX_ANSWER_BYTES)
            return msgspec.json.decode(line, type=AgentAnswer)
        except TimeoutError as error:
            raise RemoteError(Reason.TIMEOUT, "the glasses have not answered in time") from error
        except (OSError, msgspec.DecodeError) as error:
            raise RemoteError(Reason.ABORTED, "the glasses ended before they answered") from error


class _Server:
    """Accepts on one thread, and serves each connection on one of its own."""

    def __init__(self, sock: socket.socket, answer: Callable[[AgentRequest], AgentAnswer]) -> None:
        self._sock, self._answer = sock, answer
        self._lock = threading.Lock()
        self._open: dict[socket.socket, SupervisedThread] = {}
        self._ended, self._end = socket.socketpair()
        self._thread = SupervisedThread(self._accept, "agents", policy="restart").start()

    def close(self) -> None:
        self._end.close()
        self._thread.close()
        self._ended.close()
        with self._lock:
            served = dict(self._open)
        for connection in served:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in served.values():
            thread.close()

    def _accept(self) -> None:
        while self._ended not in select.select([self._sock, self._ended], [], [])[0]:
            try:
                connection, _ = self._sock.accept()
            except OSError:  # it has gone again
                continue
            connection.setblocking(True)
            with self._lock:
                if len(self._open) >= MAX_AGENTS:
                    connection.close()
                    continue
                thread = SupervisedThread(lambda one=connection: self._serve(one), "agent")
                self._open[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline(MAX_REQUEST_BYTES + 1):
                    connection.sendall(msgspec.json.encode(self._answered(line)) + b"\n")
                    if not line.endswith(b"\n"):
                        return  # too long: where the next one begins is not known
        except OSError as error:
            log.debug("an agent has gone: %s", error)
        finally:
            with self._lock:
                self._open.pop(connection, None)

    def _answered(self, line: bytes) -> AgentAnswer:
        if len(line) > MAX_REQUEST_BYTES:
            return AgentAnswer(error=f"a request over {MAX_REQUEST_BYTES} bytes", reason=Reason.TOO_LARGE)
        try:
            request = msgspec.json.decode(line, type=AgentRequest)
        except msgspec.DecodeError as error:
            return AgentAnswer(error=f"no request: {error}", reason=Reason.BAD_INPUT)
        return self._answer(request)
