"""Headers that say a wrong length: what is read is what the bytes hold."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from glasses.audio.sound_files import decode_audio
from glasses.audio.sound_lengths import parts_of
from glasses.types import SAMPLE_RATE_HZ

NOISE = (0.1 * np.random.default_rng(1).standard_normal(2 * SAMPLE_RATE_HZ)).astype(np.float32)
# Format -> (the chunk whose length is in question, where its length stands behind its name, how it is written).
LENGTHS = {
    "WAV": (b"data", 4, "<I"),
    "AIFF": (b"SSND", 4, ">I"),
    "SVX": (b"BODY", 4, ">I"),
    "CAF": (b"data", 4, ">Q"),
    "W64": (b"data", 16, "<Q"),
    "RF64": (b"ds64", 16, "<Q"),
    "AU": (b".snd", 8, ">I"),
}


def encoded(kind: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, NOISE, SAMPLE_RATE_HZ, format=kind, subtype=subtype)
    return out.getvalue()


def decoded(data: bytes) -> tuple[int, list[str]]:
    notes: list[str] = []
    return len(decode_audio(data, "the sound", on_note=notes.append)), notes


@pytest.mark.parametrize("says", ["nothing", "unknown", "half", "far too much"])
@pytest.mark.parametrize("kind", LENGTHS)
def test_decode_audio_wrong_length_in_the_header_reads_all_bytes(kind: str, says: str) -> None:
    name, offset, form = LENGTHS[kind]
    width = struct.calcsize(form)
    value = {"nothing": 0, "unknown": 256**width - 1, "half": len(NOISE), "far too much": 0x7FFF_FFFE}[says]
    data = bytearray(encoded(kind))
    at = data.find(name) + offset
    data[at : at + width] = struct.pack(form, value)
    frames, notes = decoded(bytes(data))
    assert frames == len(NOISE)
    assert ["longer than its header" in note for note in notes] == ([True] if says == "half" else [])


@pytest.mark.parametrize("kind", [*LENGTHS, "FLAC", "OGG", "MP3"])
def test_decode_audio_two_recordings_behind_each_other_are_both_read(kind: str) -> None:
    one, notes = decoded(encoded(kind))
    assert notes == []
    assert decoded(encoded(kind) * 2)[0] == pytest.approx(2 * one, abs=3000)  # an MP3 pads


@pytest.mark.parametrize("total", [0, 1000, 10 * len(NOISE), 2**36 - 1])
def test_decode_audio_flac_with_a_wrong_number_of_samples_is_read_whole(total: int) -> None:
    data = bytearray(encoded("FLAC"))
    (packed,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, packed >> 36 << 36 | total)
    assert decoded(bytes(data))[0] == len(NOISE)


def test_decode_audio_chunks_and_tags_behind_the_sound_are_no_sound() -> None:
    wav = encoded("WAV")
    for tail in (b"LIST\x04\0\0\0INFO", b"TAG" + bytes(125), bytes(512), b"junk\x03\0\0\0abc\0"):
        assert decoded(wav + tail) == (len(NOISE), [])


def test_decode_audio_chunk_with_a_wrong_length_before_the_sound_hides_nothing() -> None:
    wav = encoded("WAV")
    listed = wav[:36] + b"LIST\xff\xff\xff\x0fINFOabcd" + wav[36:]
    assert decoded(listed)[0] == len(NOISE)


def test_decode_audio_empty_recording_with_chunks_behind_it_stays_empty() -> None:
    out = io.BytesIO()
    soundfile.write(out, NOISE[:0], SAMPLE_RATE_HZ, format="WAV")
    data = out.getvalue() + b"LIST\x04\0\0\0INFO"
    assert parts_of("WAV", lambda at, n: data[at : at + n], len(data))[0].patches == ()


@pytest.mark.parametrize("kind", ["WAV", "RF64", "Wave64", "AIFF", "AU", "CAF", "FLAC", "Ogg", "MP3", ""])
def test_parts_of_any_bytes_gives_parts_within_the_file(kind: str) -> None:
    rng = np.random.default_rng(5)
    heads = [encoded(form)[:200] for form in ("WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC", "OGG", "MP3")]
    for head in heads:
        for _ in range(40):
            data = bytearray(head[: int(rng.integers(1, len(head)))])
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            parts = parts_of(kind, lambda at, n, data=bytes(data): data[at : at + n], len(data))
            assert all(0 <= part.first <= part.end <= len(data) for part in parts)
