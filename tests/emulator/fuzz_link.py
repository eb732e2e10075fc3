"""Sends mutated frames to both ends of the link: neither crashes, and neither accepts a changed frame as intact.

Half of them are real frames of the session (sealed where the link is) with one to three changes; the rest is random.
Only frames that can no longer be read count as harmed; half as many again are sent unchanged.

`python -m tests.emulator.fuzz_link --frames 10000000` prints the figures; the C side runs under sanitizers.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections import Counter
from contextlib import suppress

from firmware_bridge import framing, protocol
from firmware_bridge.errors import LinkError
from firmware_bridge.protocol import MAX_BODY, MAX_MESSAGE, layout, value_of
from firmware_bridge.security import Sealer, key_of, new_pairing_code
from firmware_bridge.states import Config
from tests.emulator.firmware import build
from tests.emulator.world import World

_KINDS = [value_of(f"FRAME_{name}") for name in ("HELLO", "NOISE2", "SEALED", "DATA", "ACK", "PING", "PONG")]
_DATA, _ACK, _PONG = (layout(f"frame_{name}") for name in ("data", "ack", "pong"))


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
    totals = Counter[str](accepted_corruption=0)
    for sealed in (False, True):
        totals += Fuzz(rng, sealed=sealed).run(frames // 2)
    figures = {name: totals[name] for name in ("harmed", "intact", "genuine", "passed_crc", "messages")}
    figures["accepted_corruption"] = totals["accepted_corruption"]
    return {"side": "Python", **figures, "cpu_s": round(time.process_time() - since_s, 1)}


class Fuzz:
    """One link that is up. `expected`: a sealed link may take what comes now, for its peer really sent it, once."""

    def __init__(self, rng: random.Random, *, sealed: bool) -> None:
        code = new_pairing_code() if sealed else None
        world = World(config=Config(key=key_of(code) if code else None), code=code)
        assert world.run(lambda: world.is_up)
        self.rng, self.world, self.link = rng, world, world.link
        self.device: Sealer | None = None
        if sealed:  # both ends here, so that the device's frames can be made here
            keys = rng.randbytes(32), rng.randbytes(32)
            self.link._sealer, self.device = Sealer(*keys), Sealer(*keys[::-1])
        self.counts = Counter[str]()
        self.expected = False
        self._decoder = framing.Decoder()

    def run(self, count: int) -> Counter[str]:
        """Until `count` frames were really changed; a third of all goes out untouched."""
        while self.counts["harmed"] < count:
            genuine = self.rng.random() < 0.5
            body = self._genuine() if genuine else _body(self.rng, self.link._session, self._next)
            whole = framing.encode(body)
            to_harm = self.rng.random() < 2 / 3
            wire = (_harm(self.rng, whole) if to_harm else whole) + b"\0"  # a frame without its end ends with the next
            passed = self._passed(wire)
            if to_harm and passed == [body]:
                continue  # only a pause was added, or a byte was given its own value
            self.counts["harmed" if to_harm else "intact"] += 1
            self.counts["genuine"] += genuine
            self.counts["passed_crc"] += len(passed)
            self.counts["accepted_corruption"] += passed != ([] if to_harm else [body])
            self.expected = genuine and not to_harm
            self._receive(wire)
            self.expected = False
            if self.device is not None and self.rng.random() < 1 / 16:
                self._receive(wire)  # a replay
        return self.counts

    @property
    def _next(self) -> list[int]:
        return [channel.next for channel in self.link._receive]

    def _genuine(self) -> bytes:
        """What a device says in a session, sealed where the link is; every message is one byte, again and again."""
        rng, link = self.rng, self.link
        number = int(rng.random() * 3)
        if rng.random() < 0.75:
            seq = link._receive[number].next + (int(rng.random() * 4) if rng.random() < 0.5 else 0)
            message = rng.randbytes(1) * (1 + int(rng.random() * MAX_MESSAGE))
            body = _DATA.pack(value_of("FRAME_DATA"), link._session, number, 0, seq & 0xFFFF, 1) + message
        elif rng.random() < 0.5:
            base = link._send[number]._base
            limit = base + 32 & 0xFFFF
            body = _ACK.pack(value_of("FRAME_ACK"), link._session, number, 0, base, limit, rng.getrandbits(32), 1)
        else:
            now_us = self.world.now_us
            body = _PONG.pack(value_of("FRAME_PONG"), link._session, 1, now_us - 100, rng.getrandbits(40), 1 << 40)
        return self.device.seal(link._session, body) if self.device is not None else body

    def _passed(self, wire: bytes) -> list[bytes]:
        self._decoder.reset()
        return self._decoder.feed(wire)

    def _receive(self, wire: bytes) -> None:
        link, now_us = self.link, self.world.now_us
        cut = int(self.rng.random() * len(wire))
        link.received(b"\0" + wire[:cut], now_us)
        link.received(wire[cut:], now_us)
        while (taken := link.take()) is not None:
            self.counts["messages"] += 1
            alike = taken[1] == taken[1][:1] * len(taken[1])
            self.counts["accepted_corruption"] += self.device is not None and not (self.expected and alike)
            with suppress(LinkError):
                protocol.decode(taken[1])
        link.transmit(now_us)
        link.changes.clear()
        assert self.world.is_up


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
    for _ in range(1 + int(rng.random() * 3)):
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
    parser.add_argument("--frames", type=int, default=100_000, help="harmed, for each side (default: 100000)")
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
