"""What the wearer is told of the service of --offload."""

from __future__ import annotations

import logging
import time

import pytest

from glasses.errors import Reason, RemoteError
from glasses.offload.remote import RemoteModel


class Away:
    """A transport that reaches nobody; `tries` counts how often it was opened."""

    tries = 0

    async def open(self) -> None:
        Away.tries += 1
        raise RemoteError(Reason.REFUSED, "ws://desk:8765 answered HTTP 401: check the token")

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes:
        return b""

    async def close(self) -> None: ...


def test_remote_model_unreachable_service_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("glasses.offload.connection.RETRY_S", 0.01)
    with caplog.at_level(logging.WARNING, "glasses.offload"), RemoteModel(Away):
        until_s = time.monotonic() + 10
        while Away.tries < 3 and time.monotonic() < until_s:
            time.sleep(0.01)
    assert Away.tries >= 3
    assert [record.message for record in caplog.records] == [
        "the service of --offload is away, so every answer is made here: "
        "ws://desk:8765 answered HTTP 401: check the token"
    ]


class Connected:
    """A client whose link has not failed yet."""

    lost = False


def test_remote_model_reported_lost_is_not_connected_at_once() -> None:
    """The next turn may begin before the event loop runs."""
    remote = RemoteModel(Away)
    remote._connection.client = Connected()  # pyright: ignore[reportAttributeAccessIssue]
    assert remote.connected
    remote.report_lost()
    assert not remote.connected
    remote._loop.close()
