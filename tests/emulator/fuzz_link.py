"""Mutated frames against both ends of the link: no crash, and nothing taken for intact that was changed.

`python -m tests.emulator.fuzz_link --frames 10000000` prints the figures; the C side runs under sanitizers.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time

from firmware_bridge import framing, protocol
from firmware_bridge.errors import LinkError
from firmware_bridge.protocol import MAX_BODY, value_of
from firmware_bridge.security import key_of, new_pairing_code
from firmware_bridge.states import Config
from tests.emulator.firmware import build
from tests.emulator.world import World

_KINDS = [value_of(f"FRAME_{name}") for name in ("HELLO", "NOISE2", "SEALED", "DATA", "ACK", "PING", "PONG")]


def fuzz_c(frames: int, seed: int) -> dict[str, object]:
    """The firmware's end. Raises AssertionError with what a sanitizer says."""
    program = build("sanitized") / "sanitized" / "fuzz"
    ran = subprocess.run([program, str(frames), str(seed)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return json.loads(ran.stdout)


def fuzz_python(frames: int, seed: int) -> dict[str, object]:
    """The host's end: half of the frames on an open link, half on a sealed one."""
    rng = random.Random(seed)
    since_s = time.process_time()
    totals = {"intact": 0, "passed_crc": 0, "messages_of_strangers": 0, "accepted_corruption": 0}
    for code in (None, new_pairing_code()):
        for name, value in _fuzz_one(frames // 2, rng, code).items():
            totals[name] += value
    return {"side": "Python", "frames": frames, **totals, "cpu_s": round(time.process_time() - since_s, 1)}


def _fuzz_one(frames: int, rng: random.Random, code: str | None) -> dict[str, int]:
    world = World(config=Config(key=key_of(code) if code else None), code=code)
    assert world.run(lambda: world.is_up)
    link, now_us = world.link, world.now_us
    decoder = framing.Decoder()
    counts = {"intact": 0, "passed_crc": 0, "messages_of_strangers": 0, "accepted_corruption": 0}
    for _ in range(frames):
        body = _body(rng, link._session, [channel.next for channel in link._receive])
        wire = framing.encode(body)
        if rng.random() < 0.5:
            wire = _harm(rng, wire)
        else:
            counts["intact"] += 1
        decoder.reset()
        for passed in decoder.feed(wire) if wire.find(0) == len(wire) - 1 else ():
            counts["passed_crc"] += 1
            counts["accepted_corruption"] += passed != body
        cut = int(rng.random() * len(wire))
        link.received(wire[:cut], now_us)
        link.received(wire[cut:] + b"\0", now_us)
        while (taken := link.take()) is not None:
            counts["messages_of_strangers"] += 1
            counts["accepted_corruption"] += code is not None  # nobody here has the key
            try:
                protocol.decode(taken[1])
            except LinkError:
                continue
        link.transmit(now_us)
        link.changes.clear()
        assert world.is_up
    return counts


def _body(rng: random.Random, session: int, next_seqs: list[int]) -> bytes:
    size = 1 + int(rng.random() * (64 if rng.random() < 0.75 else MAX_BODY))
    body = bytearray(rng.randbytes(size))
    if rng.random() < 0.9:
        body[0] = rng.choice(_KINDS)
    if size > 6 and rng.random() < 0.75:
        body[1] = session
        body[2] %= 3
        body[4:6] = (next_seqs[body[2]] + (rng.random() < 0.3)).to_bytes(4, "little")[:2]
    return bytes(body)


def _harm(rng: random.Random, wire: bytes) -> bytes:
    data = bytearray(wire)
    for _ in range(int(rng.random() * 4)):
        at, kind = int(rng.random() * len(data)), int(rng.random() * 4)
        if kind == 0:
            data[at] ^= 1 << int(rng.random() * 8)
        elif kind == 1:
            data[at] = int(rng.random() * 256)
        elif kind == 2 and len(data) > 2:
            del data[at]
        else:
            data.insert(at, int(rng.random() * 256))
    return bytes(data)


def main() -> int:
    """Prints one JSON line a side; 1 when corruption was accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="for each side (default: 100000)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    accepted = 0
    for fuzz in (fuzz_c, fuzz_python):
        figures = fuzz(args.frames, args.seed)
        print(json.dumps(figures), flush=True)
        accepted += int(str(figures["accepted_corruption"]))
    return 1 if accepted else 0


if __name__ == "__main__":
    raise SystemExit(main())
