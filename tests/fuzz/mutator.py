"""Changes good inputs as damage and malice do. The same seed gives the same inputs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_EDGES = [bytes(n) for n in (1, 2, 4, 8)] + [b"\xff" * n for n in (1, 2, 4, 8)] + [b"\x7f\xff\xff\xff", b"\0\0\0\x80"]


def mutated(seeds: Sequence[bytes], max_bytes: int, seed: int) -> Iterator[bytes]:
    """The seeds themselves, then endless changes of them."""
    yield from (one[:max_bytes] for one in seeds)
    rng = random.Random(seed)
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            _change(data, seeds, rng)
        yield bytes(data[:max_bytes])


def _change(data: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(6)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        edge = rng.choice(_EDGES)
        data[at : at + len(edge)] = edge
    elif kind == 2:
        del data[at : at + rng.choice((1, 2, 8, len(data)))]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 64)))
    elif kind == 4:
        data[at:at] = data[at : at + rng.choice((1, 4, 16, 256))]
    else:
        other = rng.choice(seeds)
        data[at:] = other[rng.randrange(len(other) + 1) :]
