"""Sound of glasses: G.711 against its published values, LC3 both ways, what a lost frame becomes, and times."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from firmware_bridge.codecs import Lc3Decoder, OpusDecoder, PcmDecoder
from firmware_bridge.devices.device import MAX_INBOX_EVENTS, Battery, Inbox, Message, Sound, Stream, Touch
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.encoders import lc3_encoder, pitch_hz, tone

MS = 1_000_000


def test_pcm_decoder_mu_law_is_decoded_as_libsndfile_does() -> None:
    codes = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(codes), format="RAW", subtype="ULAW", channels=1, samplerate=8000, dtype="int16"
    )
    assert np.array_equal(PcmDecoder(8000, mu_law=True).decode(codes), theirs)


def test_pcm_decoder_samples_are_little_endian() -> None:
    assert PcmDecoder(16_000).decode(bytes.fromhex("01 00 ff ff 00 80")).tolist() == [1, -1, -32768]
    with pytest.raises(LinkError):
        PcmDecoder(16_000).decode(b"\x01")


def test_lc3_decoder_without_its_library_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.codecs.find_library", lambda _: None)
    with pytest.raises(LinkError, match="liblc3-0") as caught:
        Lc3Decoder(16_000, 20)
    assert caught.value.reason is Reason.NOT_AVAILABLE


def test_stream_damaged_frame_counts_as_lost() -> None:
    inbox = Inbox()
    stream = Stream(PcmDecoder(16_000), inbox)
    stream.frame(bytes(640), 100 * MS)
    stream.frame(bytes(639), 120 * MS)
    stream.frame(bytes(640), 160 * MS, lost_before=1)
    assert [(type(e), getattr(e, "concealed", None), e.t_ns // MS) for e in inbox.take_all()] == [
        (Sound, False, 80),
        (Message, None, 120),
        (Sound, True, 100),
        (Sound, True, 120),
        (Sound, False, 140),
    ]


def test_stream_long_loss_is_a_gap_in_the_times() -> None:
    inbox = Inbox()
    stream = Stream(PcmDecoder(16_000), inbox)
    stream.frame(bytes(640), 20 * MS)
    stream.frame(bytes(640), 940 * MS, lost_before=45)  # 0.9 s, of which half a second is filled
    _, filled, after = inbox.take_all()
    assert isinstance(filled, Sound)
    assert isinstance(after, Sound)
    assert (len(filled.pcm), filled.t_ns // MS, after.t_ns // MS) == (8000, 420, 920)


def test_stream_times_never_go_back() -> None:
    inbox = Inbox()
    stream = Stream(PcmDecoder(16_000), inbox)
    for arrived_ms in (50, 40, 95, 5000):  # the first is late by 30 ms, as the second shows
        stream.frame(bytes(640), arrived_ms * MS)
    assert [event.t_ns // MS for event in inbox.take_all()] == [30, 30, 40, 4980]


def test_inbox_full_counts_what_it_drops() -> None:
    inbox = Inbox()
    for i in range(MAX_INBOX_EVENTS + 3):
        inbox.put(Battery(i, 50))
    left = inbox.take_all()
    assert (inbox.overflowed, len(left), left[0]) == (3, MAX_INBOX_EVENTS, Battery(3, 50))


def test_inbox_full_drops_sound_before_a_touch() -> None:
    inbox = Inbox()
    inbox.put(Touch(0, "tap"))
    for i in range(1, MAX_INBOX_EVENTS + 3):
        inbox.put(Sound(i, np.zeros(1, np.int16), 16_000))
    left = inbox.take_all()
    assert [left[0], left[1].t_ns, len(left), inbox.overflowed] == [Touch(0, "tap"), 4, MAX_INBOX_EVENTS, 3]


@pytest.mark.codecs
def test_lc3_decoder_of_an_encoded_tone_gives_the_tone() -> None:
    """The encoder of the same library makes 20-byte frames of a tone, as the G1 sends them."""
    encode = lc3_encoder(20)
    said = tone(16_000)
    decoder = Lc3Decoder(16_000, 20)
    heard = []
    for start in range(0, len(said), 160):
        frame = encode(said[start : start + 160])
        heard.append(decoder.conceal(160) if start == 8000 else decoder.decode(frame))
    pcm = np.concatenate(heard)[1600:]
    assert len(pcm) == 14_400
    assert abs(pitch_hz(pcm) - 440) < 5
    with pytest.raises(LinkError):
        decoder.decode(b"")


@pytest.mark.codecs
def test_opus_decoder_input_that_is_no_packet_is_corrupt() -> None:
    decoder = OpusDecoder(16_000)
    for packet in (b"", b"\xff\xff\xff"):
        with pytest.raises(LinkError) as caught:
            decoder.decode(packet)
        assert caught.value.reason is Reason.CORRUPT
    assert len(decoder.conceal(320)) == 320
