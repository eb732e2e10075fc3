"""The link's host side beside a raw copy, one after the other in one run: bytes a second at 100% of one core.

Both receive the same photographs' worth of bytes through a pty, the raw copy with pyserial. CPU time of this process
alone is counted, so a busy machine changes little. `python -m tests.emulator.link_throughput`.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import threading
import time
import tty

import serial

from firmware_bridge import framing, protocol
from firmware_bridge.link import BULK
from firmware_bridge.security import Sealer, key_of, new_pairing_code
from firmware_bridge.states import Config, State
from tests.emulator.world import World

LINE_BYTES_S = 2_000_000 / 10  # 2 Mbit/s with start and stop bits
_CHUNK = 4096


def raw_copy(total: int) -> tuple[float, float]:
    """(bytes, CPU seconds of the reading thread) of pyserial reading from a pty."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    port = serial.Serial(os.ttyname(theirs), timeout=5)
    writer = threading.Thread(target=_write, args=(ours, bytes(range(1, 251)) * (total // 250)))
    writer.start()
    got, since = 0, time.thread_time()
    while got < total // 250 * 250:
        got += len(port.read(min(_CHUNK, max(1, port.in_waiting))))
    spent = time.thread_time() - since
    writer.join()
    port.close()
    os.close(ours)
    os.close(theirs)
    return got, spent


def _write(fd: int, data: bytes) -> None:
    for start in range(0, len(data), _CHUNK):
        os.write(fd, data[start : start + _CHUNK])


def link_receive(total: int, *, sealed: bool) -> tuple[float, float]:
    """(payload bytes, CPU seconds) of a Link that gets full data frames, acknowledges them and hands messages over."""
    code = new_pairing_code() if sealed else None
    world = World(config=Config(key=key_of(code) if code else None), code=code)
    assert world.run(lambda: world.is_up)
    link, now_us = world.link, world.now_us
    message = protocol.encode("photo_chunk", bytes(660), request=1, offset=0)
    head = protocol.layout("frame_data")
    device = Sealer(bytes(32), bytes(32))
    if link._sealer is not None:
        link._sealer = Sealer(bytes(32), bytes(32))  # both ends in this process, so that frames can be made beforehand
    frames = []
    first = link._receive[BULK].next
    for i in range(total // len(message)):
        body = head.pack(protocol.value_of("FRAME_DATA"), link._session, BULK, 0, (first + i) & 0xFFFF, 1) + message
        frames.append(framing.encode(device.seal(link._session, body) if sealed else body))
    stream = b"".join(frames)
    got, since = 0, time.thread_time()
    for start in range(0, len(stream), _CHUNK):
        link.received(stream[start : start + _CHUNK], now_us)
        while (taken := link.take()) is not None:
            got += len(protocol.decode(taken[1]).data)
        link.transmit(now_us)
    spent = time.thread_time() - since
    assert link.state is State.UP
    assert got == len(frames) * 660
    return got, spent


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=20)
    total = parser.parse_args().megabytes * 1_000_000
    out = {}
    for name, (size, spent) in {
        "pyserial_raw_copy": raw_copy(total),
        "link_open": link_receive(total, sealed=False),
        "link_sealed": link_receive(total, sealed=True),
    }.items():
        out[name] = {
            "bytes_a_second_of_one_core": round(size / spent),
            "core_at_2_mbit": round(LINE_BYTES_S * spent / size, 4),
        }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
