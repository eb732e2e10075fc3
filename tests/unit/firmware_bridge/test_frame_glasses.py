"""The layouts of Frame, byte by byte, as facts about the vendor's packages state them. No radio."""

from __future__ import annotations

import pytest

from firmware_bridge.devices import frame_wire as wire
from firmware_bridge.devices.photo import Assembled, PhotoError, PhotoFailure
from firmware_bridge.errors import LinkError, Reason


def put_together(*chunks: str) -> Assembled:
    assembler = wire.assemble(270)
    next(assembler)
    try:
        for chunk in chunks:
            assembler.send(bytes.fromhex(chunk))
    except StopIteration as done:
        return done.value
    raise AssertionError("not complete")


def test_frame_message_that_fits_is_one_packet() -> None:
    #                                                    data code size   payload
    assert wire.message_packets(0x20, b"Hi", 244) == [bytes.fromhex("01 20 00 02 48 69")]
    assert wire.message_packets(0x23, b"", 244) == [bytes.fromhex("01 23 00 00")]


def test_frame_message_in_several_packets_repeats_the_code_not_the_size() -> None:
    payload = bytes(range(256)) * 2
    packets = wire.message_packets(0x21, payload, 244)
    assert [packet[:4].hex(" ") for packet in packets] == ["01 21 02 00", "01 21 f0 f1", "01 21 e2 e3"]
    assert [len(packet) for packet in packets] == [244, 244, 32]
    assert packets[0][4:] + packets[1][2:] + packets[2][2:] == payload
    with pytest.raises(LinkError) as caught:
        wire.message_packets(0x21, bytes(65_536), 244)
    assert caught.value.reason is Reason.TOO_LARGE


def test_frame_signals_have_the_documented_bytes() -> None:
    assert (wire.BREAK, wire.RESET) == (b"\x03", b"\x04")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("01 01 00 00", wire.Ack(True)),
        ("01 01 00 01", wire.Ack(False)),
        ("01 05 07 10 20", wire.SoundPacket(7, b"\x10\x20")),
        ("01 06", None),
        ("01 07 ff d8", wire.PhotoChunk(b"\x07\xff\xd8")),
        ("01 08 00 00 00 02", wire.PhotoChunk(b"\x08\x00\x00\x00\x02")),
        ("01 09", wire.Gesture("tap")),
        ("01 09 02", wire.Gesture("double_tap")),
        ("01 0b 03", wire.Gesture("long_click")),
        ("01 0c 49", wire.Level(73)),
        ("68 69", wire.Printed("hi")),
    ],
)
def test_frame_parse_of_each_message_gives_what_the_glasses_say(value: str, said: wire.Said) -> None:
    assert wire.parse(bytes.fromhex(value)) == said


@pytest.mark.parametrize("value", ["01", "01 05", "01 05 07 10", "01 0c", "01 0c 65", "01 63 00"])
def test_frame_parse_damaged_message_is_corrupt(value: str) -> None:
    with pytest.raises(LinkError) as caught:
        wire.parse(bytes.fromhex(value))
    assert caught.value.reason is Reason.CORRUPT


def test_frame_photo_of_whole_chunks_is_put_together() -> None:
    assert put_together("07 ff d8", "07 ff d9", "08 00 00 00 04") == Assembled(bytes.fromhex("ff d8 ff d9"), 270)


@pytest.mark.parametrize(
    ("chunks", "failure"),
    [
        (["07 ff d8", "08 00 00 00 04"], PhotoFailure.GAP),
        (["07 ff d8", "08"], PhotoFailure.GAP),  # of an application that is not ours
        (["0e 01 78"], PhotoFailure.BUSY),
        (["0e 02 78"], PhotoFailure.CAPTURE),
        (["07" + "00" * 2000] * 1000, PhotoFailure.CAPTURE),
    ],
)
def test_frame_photo_that_fails_says_why(chunks: list[str], failure: PhotoFailure) -> None:
    with pytest.raises(PhotoError) as caught:
        put_together(*chunks)
    assert caught.value.failure is failure


def test_frame_upload_lines_never_split_an_escape_and_fit() -> None:
    text = "a = 'x\\n'\n" + "é" * 300
    for room in (60, 61, 62, 63):
        lines = wire.upload_lines("glasses_0", text, room)
        assert max(len(line.encode()) for line in lines) <= room
        written = [line[len("f:write('") : -len("');print(1)")] for line in lines if line.startswith("f:write")]
        assert all(piece.count("\\") % 2 == 0 or piece[-1] != "\\" for piece in written)
        joined = "".join(written)
        assert joined.replace("\\\\", "\0").replace("\\'", "'").replace("\\n", "\n").replace("\0", "\\") == text


@pytest.mark.parametrize("room", [20, 59])
def test_frame_upload_over_a_link_that_is_too_narrow_is_refused(room: int) -> None:
    with pytest.raises(LinkError) as caught:
        wire.upload_lines("glasses_00000000", "a = 1", room)
    assert caught.value.reason is Reason.TOO_LARGE


def test_frame_photo_whose_chunks_come_twice_is_put_together() -> None:
    assert put_together(*["07 ff d8"] * 2, *["07 11 d9"] * 2, "08 00 00 00 04").jpeg == bytes.fromhex("ff d8 11 d9")
    assert put_together(*["07 11 11"] * 2, "08 00 00 00 04").jpeg == bytes.fromhex("11 11 11 11")  # once, and alike


def test_frame_text_is_in_the_characters_of_its_font() -> None:
    for text, shown in (
        ("na\u00efve caf\u00e9 \u2014 5\u00a0\u00b0C", "na\u00efve caf\u00e9 - 5 \u00b0C"),
        ("a\tb\rc\0d\ud800", "a b\ncd"),
        ("\u0141\u00f3d\u017a \u201e\u2026\u201c", 'L\u00f3dz "..."'),
        ("\U0001f44d\U0001f3fd \u6f22", "? ?"),
        ("\u202eabc\u2066", "abc"),
    ):
        assert wire.text_message(text, "Frame")[1:].decode() == shown


def test_frame_settings_out_of_range_are_refused() -> None:
    assert wire.photo_message("Frame") == bytes.fromhex("04 02 00")
    assert wire.photo_message("Halo", quality=0) == bytes.fromhex("00 02 80")
    with pytest.raises(LinkError):
        wire.photo_message("Frame", quality=5)
    with pytest.raises(LinkError):
        wire.text_message("x" * 1025, "Frame")
