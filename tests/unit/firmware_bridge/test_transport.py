"""Addresses of a link: an impossible one is refused at once, an absent one is tried again; serial speeds."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import termios
from functools import partial
from pathlib import Path

import pytest
import serial

from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.session import Session
from firmware_bridge.states import State
from firmware_bridge.transport import check_address, open_transport
from glasses.commands import link_keys


def refused(address: str) -> LinkError:
    """The error of opening this address."""
    with pytest.raises(LinkError) as failed:
        asyncio.run(open_transport(address))
    return failed.value


@pytest.mark.parametrize(
    "address", ["/dev/ttyX@300", "/dev/ttyX@9999999", "/dev/ttyX@", "/dev/ttyX@fast", "x:0", "ble:"]
)
def test_check_address_impossible_address_is_bad_input(address: str) -> None:
    with pytest.raises(LinkError) as failed:
        check_address(address)
    assert failed.value.reason is Reason.BAD_INPUT


@pytest.mark.parametrize("speed", [("", termios.B1000000), ("@460800", termios.B460800)])
def test_open_transport_serial_port_has_its_speed(speed: tuple[str, int]) -> None:
    ours, theirs = pty.openpty()

    async def settings() -> list[int]:
        port = await open_transport(f"serial:{os.ttyname(theirs)}{speed[0]}")
        try:
            return termios.tcgetattr(theirs)[4:6]
        finally:
            await port.close()

    try:
        assert asyncio.run(settings()) == [speed[1], speed[1]]
    finally:
        os.close(ours)
        os.close(theirs)


def test_open_transport_path_that_is_no_terminal_is_bad_input(tmp_path: Path) -> None:
    """An absent path is not found instead: it may be plugged in later."""
    file = tmp_path / "lock"  # the word says nothing
    file.touch()
    for path in (file, tmp_path, Path("/dev/null")):
        assert refused(str(path)).reason is Reason.BAD_INPUT
    absent = refused(str(tmp_path / "lock2"))
    assert absent.reason is Reason.NOT_FOUND  # it may be plugged in yet
    assert str(absent) == f"there is no {tmp_path / 'lock2'}: `glasses devices` lists serial ports"


def test_open_transport_port_open_in_another_program_is_busy() -> None:
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    try:
        with serial.Serial(path, exclusive=True):
            assert refused(path).reason is Reason.BUSY
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("why", [(socket.EAI_NONAME, Reason.BAD_INPUT), (socket.EAI_AGAIN, Reason.NOT_FOUND)])
def test_open_transport_host_without_an_address_is_refused(
    why: tuple[int, Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(why[0], "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failed = refused("nosuch.example:7700")
    assert failed.reason is why[1]
    assert "nosuch.example" in str(failed)


def test_session_to_what_is_no_port_ends_at_once_and_says_why() -> None:
    async def run() -> None:
        async with Session(partial(open_transport, "/dev/null")) as session:
            with pytest.raises(LinkError) as failed:
                await session.wait_up(600)
            assert failed.value.reason is Reason.BAD_INPUT
            assert "/dev/null" in str(failed.value)
            assert session.link.state is State.CLOSED

    asyncio.run(run())


def test_link_key_of_a_port_is_the_same_at_every_speed(tmp_path: Path) -> None:
    names = {
        link_keys.path_of(tmp_path, f"{head}/dev/ttyX{tail}") for head in ("", "serial:") for tail in ("", "@9600")
    }
    assert len(names) == 1
    assert link_keys.path_of(tmp_path, "ble:me@home") != link_keys.path_of(tmp_path, "ble:me")
