"""The kind of a file by its bytes, and what is said of kinds that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.media.kinds import cannot_read, kind_of

BOX = b"\0\0\0\x1cftyp"
KINDS = {
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "AVIF": BOX + b"mif1\0\0\0\0mif1avifmiaf",
    "HEIC": BOX + b"mif1\0\0\0\0mif1heicmiaf",
    "M4A": BOX + b"M4A \0\0\0\0M4A mp42isom",
    "MP4": BOX + b"isom\0\0\0\0isomiso2avc1",
    "JPEG XL": b"\xff\x0a\x7f\x00",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "Canon raw": b"II\x2a\0\x10\0\0\0CR\x02\0",
    "TIFF": b"MM\0\x2a\0\0\0\x08",
    "WebP": b"RIFF\0\0\0\0WEBPVP8 ",
    "WAV": b"RIFF\0\0\0\0WAVEfmt ",
    "AVI": b"RIFF\0\0\0\0AVI LIST",
    "AIFF": b"FORM\0\0\0\0AIFC",
    "Ogg": b"OggS\0\2" + bytes(21) + b"\x1e\x01vorbis",
    "Speex": b"OggS\0\2" + bytes(21) + b"\x50Speex   1.2",
    "MP3": b"\xff\xfb\x90\x64",
    "AAC": b"\xff\xf1\x50\x80",
    "BMP": b"BM" + bytes(12) + b"\x28\0\0\0",
    "PPM": b"P6 640 480 255\n",
    "SVG": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg width='9'>",
    "web page": b"\n<!DOCTYPE html>\n<html>",
    "text": "a line of text, with an é".encode(),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind_of_known_bytes_is_named(name: str) -> None:
    kind = kind_of(KINDS[name])
    assert kind
    assert kind.name == name


@pytest.mark.parametrize(
    "data", [b"", b"\0", bytes(100), b"BM", b"P6", b"RIFF\0\0\0\0", b"FORM\0\0\0\0XXXX", b"\xff\xfe"]
)
def test_kind_of_unknown_bytes_is_none(data: bytes) -> None:
    kind = kind_of(data)
    assert kind is None or kind.name == "text"


def test_cannot_read_quotes_the_file_and_without_one_names_no_command() -> None:
    kind = kind_of(KINDS["M4A"])
    assert kind
    with_file = str(cannot_read(kind, "sound", "a b.m4a", Path("/home/me/a b.m4a")))
    assert "M4A" in with_file
    assert "ffmpeg -i '/home/me/a b.m4a' sound.wav" in with_file
    without = str(cannot_read(kind, "sound", "messages[0].content[1]", None))
    assert without.startswith("messages[0].content[1] is of the kind M4A")
    assert "ffmpeg" not in without


def test_cannot_read_picture_where_a_sound_is_wanted_says_so() -> None:
    kind = kind_of(KINDS["JPEG"])
    assert kind
    assert str(cannot_read(kind, "sound", "a.wav", None)) == "a.wav is a picture (JPEG), not a sound"
