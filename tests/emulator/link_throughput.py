"""Compares the link's host side with pyserial's raw copy through a pty, in bytes a second at 100% of one core.

CPU time of the thread under test alone is counted, the kernel's work for it included, so a busy machine changes little;
the other end of the pty is another thread. It is the Link alone, without the asyncio tasks that drive it.
`python -m tests.emulator.link_throughput`.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from firmware_bridge import framing, protocol
from firmware_bridge.link import BULK, Link
from firmware_bridge.protocol import value_of
from firmware_bridge.security import Sealer, key_of, new_pairing_code
from firmware_bridge.states import Config, State
from tests.emulator.world import World

LINE_BYTES_S = 2_000_000 / 10  # 2 Mbit/s with start and stop bits
PAYLOAD = 660
_CHUNK = 4096
_MESSAGE = protocol.encode("photo_chunk", bytes(PAYLOAD), request=1, offset=0)
_DATA, _ACK = protocol.layout("frame_data"), protocol.layout("frame_ack")
Measured = tuple[int, float]  # payload bytes, CPU seconds


@contextmanager
def wire(stream: bytes = b"") -> Iterator[serial.Serial]:
    """A port; its other end, in threads, writes `stream` and reads whatever comes."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    port = serial.Serial(os.ttyname(theirs), timeout=5)
    os.close(theirs)
    threads = [threading.Thread(target=_write, args=(ours, stream)), threading.Thread(target=_drain, args=(ours,))]
    for thread in threads:
        thread.start()
    try:
        yield port
    finally:
        port.close()
        for thread in threads:
            thread.join()
        os.close(ours)


def _write(fd: int, data: bytes) -> None:
    with suppress(OSError):  # the port was closed before all of it was read
        for start in range(0, len(data), _CHUNK):
            os.write(fd, data[start : start + _CHUNK])


def _drain(fd: int) -> None:
    with suppress(OSError):  # the port is closed
        while os.read(fd, _CHUNK):
            pass


def _read(port: serial.Serial) -> bytes:
    data = port.read(min(_CHUNK, max(1, port.in_waiting)))
    assert data, "nothing came for 5 s"
    return data


def _up(sealed: bool) -> tuple[Link, Sealer | None, int]:
    """A link that is up, and who seals for its device: both ends are here, so that the device's frames can be made."""
    code = new_pairing_code() if sealed else None
    world = World(config=Config(key=key_of(code) if code else None), code=code)
    assert world.run(lambda: world.is_up)
    if sealed:
        world.link._sealer = Sealer(bytes(32), bytes(32))
    return world.link, Sealer(bytes(32), bytes(32)) if sealed else None, world.now_us


def raw_receive(stream: bytes) -> Measured:
    """pyserial reads it."""
    got = 0
    with wire(stream) as port:
        since = time.thread_time()
        while got < len(stream):
            got += len(_read(port))
        return got, time.thread_time() - since


def raw_send(stream: bytes) -> Measured:
    """pyserial writes it."""
    with wire() as port:
        since = time.thread_time()
        for start in range(0, len(stream), _CHUNK):
            port.write(stream[start : start + _CHUNK])
        return len(stream), time.thread_time() - since


def link_receive(count: int, *, sealed: bool) -> Measured:
    """A Link gets `count` full data frames from the port, acknowledges them there and hands the messages over."""
    link, device, now_us = _up(sealed)
    frames, first, got = [], link._receive[BULK].next, 0
    for i in range(count):
        body = _DATA.pack(value_of("FRAME_DATA"), link._session, BULK, 0, (first + i) & 0xFFFF, 1) + _MESSAGE
        frames.append(framing.encode(device.seal(link._session, body) if device else body))
    with wire(b"".join(frames)) as port:
        since = time.thread_time()
        while got < count * PAYLOAD:
            link.received(_read(port), now_us)
            while (taken := link.take()) is not None:
                got += len(protocol.decode(taken[1]).data)
            if out := link.transmit(now_us):
                port.write(out)
        spent = time.thread_time() - since
    assert link.state is State.UP
    return got, spent


def link_send(count: int, *, sealed: bool) -> Measured:
    """A Link takes `count` messages (a multiple of 4), sends them, and is told of every four that they have arrived."""
    link, device, now_us = _up(sealed)
    first, spent = link._send[BULK]._next, 0.0
    with wire() as port:
        for sent in range(4, count + 1, 4):
            seq = (first + sent) & 0xFFFF
            body = _ACK.pack(value_of("FRAME_ACK"), link._session, BULK, 0, seq, (seq + 32) & 0xFFFF, 0, 0)
            told = framing.encode(
                device.seal(link._session, body) if device else body
            )  # the device's work: not counted
            since = time.thread_time()
            for _ in range(4):
                assert link.send(BULK, protocol.encode("photo_chunk", bytes(PAYLOAD), request=1, offset=0))
            port.write(link.transmit(now_us, 1 << 14))
            link.received(told, now_us)
            spent += time.thread_time() - since
    assert link.pending(BULK) == 0
    return count * PAYLOAD, spent


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=20)
    count = parser.parse_args().megabytes * 1_000_000 // PAYLOAD // 4 * 4
    stream = bytes(range(1, 251)) * (count * PAYLOAD // 250)
    out = {}
    for way, raw, link in (("receive", raw_receive, link_receive), ("send", raw_send, link_send)):
        size, spent = raw(stream)
        raw_s = spent / size
        out[way] = {"pyserial_bytes_a_second_of_one_core": round(1 / raw_s)}
        for name, sealed in (("open", False), ("sealed", True)):
            size, spent = link(count, sealed=sealed)
            out[way][f"link_{name}"] = {
                "bytes_a_second_of_one_core": round(size / spent),
                "times_the_raw_copy": round(spent / size / raw_s, 2),
                "core_at_2_mbit": round(LINE_BYTES_S * spent / size, 4),
            }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
