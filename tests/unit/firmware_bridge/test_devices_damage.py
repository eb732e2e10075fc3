"""A codec answers any input from a radio with a LinkError or goes on; it raises nothing else."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from firmware_bridge.devices import even_g1_wire, frame_wire, omi_glass
from firmware_bridge.devices.even_g1_wire import CAPABILITIES as G1
from firmware_bridge.devices.photo import Assembler
from firmware_bridge.errors import LinkError
from glasses.system.board import load_board

ROUNDS = 20_000


def noise(rng: random.Random, starts: list[bytes]) -> bytes:
    """Up to 260 random bytes; three in four begin as a valid packet does."""
    body = rng.randbytes(rng.choice((0, 1, 2, 3, 8, 200, 244, 260)))
    return body if rng.random() < 0.25 else rng.choice(starts) + body


def test_parsers_random_packets_raise_only_link_errors() -> None:
    rng = random.Random(4)
    g1 = [bytes((code,)) for code in (0xF1, 0xF5, 0x2C, 0x4E, 0x16, 0x25)]
    frame = [bytes((1, flag)) for flag in (1, 5, 6, 7, 8, 9, 0x0B, 0x0C, 0x0E)]
    framer = omi_glass.AudioFramer(241)
    parsed = 0
    for _ in range(ROUNDS):
        for parse, starts in (
            (even_g1_wire.parse, g1),
            (frame_wire.parse, frame),
            (framer.feed, [b"\0\0\0", b"\1\0\1"]),
        ):
            with suppress(LinkError):
                parse(noise(rng, starts))
                parsed += 1
    assert parsed > ROUNDS  # most of it looked true


@pytest.mark.parametrize("product", ["omi", "frame"])
def test_assemblers_random_chunks_raise_only_link_errors(product: str) -> None:
    rng = random.Random(5)
    pictures = failures = 0
    for _ in range(ROUNDS // 20):
        assembler: Assembler = omi_glass.assemble() if product == "omi" else frame_wire.assemble(None)
        next(assembler)
        starts = [b"\0\0", b"\1\0", b"\xff\xff"] if product == "omi" else [b"\x07", b"\x08", b"\x08\0\0\0\0", b"\x0e\1"]
        try:
            while True:
                assembler.send(noise(rng, starts) or b"\x07")
        except LinkError:
            failures += 1
        except StopIteration:
            pictures += 1
    assert failures
    assert pictures


@pytest.mark.parametrize(
    ("board", "panel"),
    [("even-g1", G1.panel), ("frame", frame_wire.FRAME.panel), ("halo", frame_wire.HALO.panel), ("omi-glass", None)],
)
def test_panel_of_each_device_is_that_of_its_board(board: str, panel: object) -> None:
    display = load_board(board).display
    assert (display and (display.width, display.height, display.colours)) == (
        panel and (panel.width, panel.height, panel.colours)  # type: ignore[attr-defined]
    )
