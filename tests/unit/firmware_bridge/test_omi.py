"""The layouts of Omi, byte by byte, as facts about the firmware state them. No radio."""

from __future__ import annotations

import pytest

from firmware_bridge.devices.omi_audio import AudioFramer, Heard, audio_format
from firmware_bridge.devices.omi_glass import assemble, battery_percent, is_last, pressed
from firmware_bridge.devices.photo import Assembled, PhotoError, PhotoFailure
from firmware_bridge.errors import LinkError, Reason


def put_together(*chunks: str) -> Assembled:
    assembler = assemble()
    next(assembler)
    try:
        for chunk in chunks:
            assembler.send(bytes.fromhex(chunk))
    except StopIteration as done:
        return done.value
    raise AssertionError("not complete")


def heard(*packets: str) -> list[Heard]:
    """What packets are, and after them a pause."""
    framer = AudioFramer()
    return [one for packet in packets for one in framer.feed(bytes.fromhex(packet))] + framer.flush()


def test_omi_sound_packet_is_counter_part_payload() -> None:
    framer = AudioFramer()
    assert framer.feed(bytes.fromhex("fe ff 00 aa bb"), 7) == []
    assert framer.feed(bytes.fromhex("ff ff 00 cc"), 8) == [Heard(0, b"\xaa\xbb", 7)]
    assert framer.feed(bytes.fromhex("00 00 00 dd")) == [Heard(0, b"\xcc", 8)]  # u16 wraps
    assert framer.feed(bytes.fromhex("00 00 00 dd")) == []  # once more
    assert framer.feed(bytes.fromhex("04 00 00 ee")) == [Heard(0, b"\xdd")]
    assert framer.flush() == [Heard(3, b"\xee")]
    assert framer.flush() == []


def test_omi_frame_longer_than_a_packet_continues_in_parts() -> None:
    assert heard("01 00 00 01 02 03 04", "02 00 01 05 06") == [Heard(0, bytes(range(1, 7)))]
    assert heard("03 00 00 01 02 03 04", "04 00 00 09") == [Heard(0, b"\x01\x02\x03\x04"), Heard(0, b"\x09")]
    assert heard("05 00 00 01", "06 00 01 02 03 04", "07 00 02 05") == [Heard(0, bytes(range(1, 6)))]


def test_omi_frame_without_its_beginning_is_lost_whole() -> None:
    whole = ("00 00 00 01 02 03 04", "01 00 01 05")
    # 3 and 4 are missing: the end of one frame, all of another
    assert heard(*whole, "02 00 00 01 02 03 04", "05 00 01 07", "06 00 00 08") == [
        Heard(0, bytes(range(1, 6))),
        Heard(2, b"\x08"),
    ]


def test_omi_frame_whose_parts_are_numbered_wrongly_is_lost() -> None:
    assert heard("00 00 00 01", "01 00 02 02", "02 00 00 03") == [Heard(1, b"\x03")]


@pytest.mark.parametrize("n_before", [3, 1_000, 30_000, 60_000])
def test_omi_sound_counter_that_restarts_silences_half_a_second_at_most(n_before: int) -> None:
    framer = AudioFramer()
    for number in range(n_before):
        framer.feed(number.to_bytes(2, "little") + b"\0x")
    frames = [one for number in range(100) for one in framer.feed(number.to_bytes(2, "little") + b"\0y")]
    assert len([one for one in frames if one.frame == b"y"]) >= 74
    assert sum(one.lost for one in frames) <= 1


@pytest.mark.parametrize("packet", ["", "01", "01 00 00"])
def test_omi_sound_packet_without_payload_is_refused(packet: str) -> None:
    with pytest.raises(LinkError):
        AudioFramer(241).feed(bytes.fromhex(packet))


def test_omi_audio_format_of_each_codec_id_is_known_or_refused() -> None:
    assert [(audio_format(bytes([i])).codec, audio_format(bytes([i])).rate_hz) for i in (0, 1, 10, 11, 20, 21)] == [
        ("pcm16", 16_000),
        ("pcm16", 8_000),
        ("mu_law", 16_000),
        ("mu_law", 8_000),
        ("opus", 16_000),
        ("opus", 16_000),
    ]
    for unknown in (b"\x63", b""):
        with pytest.raises(LinkError) as caught:
            audio_format(unknown)
        assert caught.value.reason is Reason.WRONG_PROTOCOL


def test_omi_photo_with_orientation_is_put_together() -> None:
    assert put_together("00 00 01 ff d8", "01 00 11 22", "02 00 ff d9", "ff ff") == Assembled(
        bytes.fromhex("ff d8 11 22 ff d9"), 90
    )


def test_omi_photo_before_firmware_2_1_1_has_no_orientation() -> None:
    assert put_together("00 00 ff d8 11", "01 00 ff d9", "ff ff") == Assembled(bytes.fromhex("ff d8 11 ff d9"), None)


def test_omi_photo_with_a_gap_fails() -> None:
    with pytest.raises(PhotoError) as caught:
        put_together("00 00 01 ff d8", "02 00 11")
    assert caught.value.failure is PhotoFailure.GAP
    with pytest.raises(PhotoError) as caught:
        put_together("01 00 11 22")  # the first one is missing
    assert caught.value.failure is PhotoFailure.GAP


def test_omi_photo_chunk_that_comes_again_is_dropped() -> None:
    whole = put_together("00 00 01 ff d8", "00 00 01 ff d8", "01 00 11", "00 00 01 ff d8", "01 00 11", "ff ff")
    assert whole == Assembled(bytes.fromhex("ff d8 11"), 90)
    with pytest.raises(PhotoError) as caught:
        put_together("00 00 01 ff d8", "00 00 01 ff d9")  # another picture
    assert caught.value.failure is PhotoFailure.GAP


@pytest.mark.parametrize("value", ["", "65", "ff"])
def test_omi_battery_out_of_range_is_corrupt(value: str) -> None:
    with pytest.raises(LinkError) as caught:
        battery_percent(bytes.fromhex(value))
    assert caught.value.reason is Reason.CORRUPT


def test_omi_photo_end_without_picture_is_a_failed_capture() -> None:
    assert is_last(b"\xff\xff")
    with pytest.raises(PhotoError) as caught:
        put_together("ff ff")
    assert caught.value.failure is PhotoFailure.CAPTURE


def test_omi_photo_without_end_is_capped() -> None:
    assembler = assemble()
    next(assembler)

    def endless() -> None:
        for number in range(0xFFFF):
            assembler.send(number.to_bytes(2, "little") + b"\xff\xd8" + bytes(198))

    with pytest.raises(PhotoError) as caught:
        endless()
    assert caught.value.failure is PhotoFailure.CAPTURE


def test_omi_button_is_u32_and_other_lengths_are_corrupt() -> None:
    said = [pressed(bytes.fromhex(f"{code:02x} 00 00 00 00 00 00 00")) for code in range(6)]
    assert said == [None, "tap", "double_tap", "long_press", "press", "release"]
    assert pressed(bytes.fromhex("01 00 00 00")) == "tap"
    for damaged in ("", "01 00 00", "06 00 00 00 00 00 00 00", "01 00 00 01 00 00 00 00"):
        with pytest.raises(LinkError) as caught:
            pressed(bytes.fromhex(damaged))
        assert caught.value.reason is Reason.CORRUPT
