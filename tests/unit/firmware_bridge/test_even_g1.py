"""The layouts of the G1, byte by byte, as facts about the vendor's application state them. No radio."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from firmware_bridge.devices import even_g1_wire as wire
from firmware_bridge.errors import LinkError, Reason


def test_g1_text_packet_has_the_documented_bytes() -> None:
    (packet,) = wire.text_packets("Hi\nyou", seq=0x107, page=2, pages=3)
    #                                 seq tot cur new pos pos page of  H  i  \n y  o  u
    assert packet == bytes.fromhex("4e 07 01 00 71 00 00 02 03 48 69 0a 79 6f 75")


def test_g1_text_packets_of_a_long_text_hold_191_bytes_each() -> None:
    text = "é" * 200  # 400 bytes of UTF-8, cut between letters
    packets = wire.text_packets(text, seq=1)
    assert [packet[:9].hex(" ") for packet in packets] == [
        "4e 01 03 00 71 00 00 01 01",
        "4e 01 03 01 71 00 00 01 01",
        "4e 01 03 02 71 00 00 01 01",
    ]
    assert [len(packet) - 9 for packet in packets] == [190, 190, 20]
    assert b"".join(packet[9:] for packet in packets).decode() == text
    with pytest.raises(LinkError) as caught:
        wire.text_packets("x" * (255 * 191 + 1), seq=1)
    assert caught.value.reason is Reason.TOO_LARGE


def test_g1_bitmap_packets_end_with_the_end_mark_and_the_checksum() -> None:
    bmp = bytes(range(256)) * 2
    packets = wire.bitmap_packets(bmp)
    assert packets[0][:6] == bytes.fromhex("15 00 00 1c 00 00")
    assert [packet[:2].hex(" ") for packet in packets] == ["15 00", "15 01", "15 02"]
    assert [len(packet) for packet in packets] == [2 + 4 + 194, 2 + 194, 2 + 124]
    assert packets[0][6:] + packets[1][2:] + packets[2][2:] == bmp
    assert bytes.fromhex("20 0d 0e") == wire.BITMAP_END
    # CRC-32 (polynomial 04C11DB7, reflected) of 00 1C 00 00 and "123456789", computed bit by bit elsewhere
    assert wire.bitmap_check(b"123456789") == bytes.fromhex("16 2b 9b cb 77")


def test_g1_bmp_file_is_readable_by_other_programs() -> None:
    pixels = np.zeros((136, 576), np.uint8)
    pixels[0, 0] = pixels[135, 575] = pixels[10:20, 5] = 1
    bmp = wire.bmp_file(pixels)
    assert len(bmp) == 62 + 136 * 72
    image = Image.open(io.BytesIO(bmp))
    assert image.mode == "1"
    assert np.array_equal(np.asarray(image).astype(np.uint8), pixels)
    with pytest.raises(LinkError):
        wire.bmp_file(pixels.T)


def test_g1_commands_and_heartbeat_have_the_documented_bytes() -> None:
    assert bytes.fromhex("0e 01 0e 00 2c 01") == wire.MIC_ON + wire.MIC_OFF + wire.ASK_BATTERY
    assert wire.heartbeat(0x1FE) == bytes.fromhex("25 06 fe 00 04 fe")


def test_g1_parse_of_each_message_gives_what_an_arm_says() -> None:
    assert wire.parse(b"\xf1\x09" + bytes(200)) == wire.MicPacket(9, bytes(200))
    kinds = [wire.parse(bytes((0xF5, code))) for code in (0x00, 0x01, 0x02, 0x03, 0x17, 0x18, 0x63)]
    assert [gesture.kind for gesture in kinds if isinstance(gesture, wire.Gesture)] == [
        *("double_tap", "tap", "head_up", "head_down", "assistant_start", "assistant_stop"),
        None,
    ]
    assert wire.parse(b"\x4e\xc9\x00") == wire.Reply(0x4E, b"\x4e\xc9\x00")
    assert wire.battery_percent(bytes.fromhex("2c 66 5a 00")) == 90
    for damaged in (b"", b"\xf5", b"\xf1\x01" + bytes(199)):
        with pytest.raises(LinkError):
            wire.parse(damaged)
    for damaged in (b"\x2c\x66", b"\x2c\x67\x10", b"\x2c\x66\x65"):
        with pytest.raises(LinkError):
            wire.battery_percent(damaged)


def test_g1_parse_of_an_acknowledgement_gives_a_reply_or_is_refused() -> None:
    for good in ("0e c9 01", "04 cb", "16 ca ca ca ca c9"):
        reply = wire.parse(bytes.fromhex(good))
        assert isinstance(reply, wire.Reply)
        reply.check("left arm")
    for bad in ("0e ca", "0e 00", "16 c9 c9 c9 c9 ca"):
        reply = wire.parse(bytes.fromhex(bad))
        assert isinstance(reply, wire.Reply)
        with pytest.raises(LinkError) as caught:
            reply.check("left arm")
        assert caught.value.reason is Reason.REFUSED


def test_g1_sound_of_other_lengths_is_whole_frames() -> None:
    assert wire.parse(b"\xf1\x09" + bytes(100)) == wire.MicPacket(9, bytes(100))
    assert wire.parse(b"\xf1\x09" + bytes(202)) == wire.MicPacket(9, bytes(200))
    for damaged in (b"\xf1\x09", b"\xf1\x09" + bytes(19)):
        with pytest.raises(LinkError):
            wire.parse(damaged)


def test_g1_pair_two_arms_of_one_number_are_refused() -> None:
    two = ["Even G1_17_L_AAAAAA", "Even G1_17_L_BBBBBB", "Even G1_17_R_CCCCCC", "Even G1_8_R_1", "even g1_8_l_2"]
    assert wire.pair(two) == [("even g1_8_l_2", "Even G1_8_R_1")]
    assert "3 arms of Even G1_17 are in reach" in wire.why_alone(two[2], two)
    assert "the other arm is not in reach" in wire.why_alone(two[2], two[2:])


def test_g1_pair_finds_the_two_arms_of_each_pair() -> None:
    names = ["Even G1_17_L_D2F3A4", "Even G1_42_R_000001", "Even G1_17_R_5E0B77", "Omi"]
    assert wire.pair(names) == [("Even G1_17_L_D2F3A4", "Even G1_17_R_5E0B77")]
