"""Which kind of file bytes are, by what they begin with: a name and a suffix may say anything.

The table also names what no reader here can read, so that a message can say what the file is and how to convert it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glasses.errors import InputError, Reason

Medium = Literal["picture", "sound", "video", "other"]

# What to do, and the command that does it; "|" parts them.
_PICTURE = "convert it to JPEG | magick {file} picture.jpg"
_SOUND = "convert it to WAV | ffmpeg -i {file} sound.wav"
_VIDEO = "take its sound or one picture | ffmpeg -i {file} sound.wav; ffmpeg -i {file} -frames:v 1 picture.jpg"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: its name as people know it, what it holds, and how to convert it.

    `advice` says it in words, and behind " | " as a command, in which {file} stands for the file.
    """

    name: str
    medium: Medium
    advice: str = ""


# What begins with these bytes. Longer signatures stand before shorter ones that they begin with. The values are from
# the formats' own specifications, by way of the table of file(1).
_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", Kind("JPEG", "picture", _PICTURE)),
    (b"\x89PNG\r\n\x1a\n", Kind("PNG", "picture", _PICTURE)),
    (b"GIF87a", Kind("GIF", "picture", _PICTURE)),
    (b"GIF89a", Kind("GIF", "picture", _PICTURE)),
    (b"II\x2a\x00", Kind("TIFF", "picture", _PICTURE)),
    (b"MM\x00\x2a", Kind("TIFF", "picture", _PICTURE)),
    (b"II\x2b\x00", Kind("TIFF", "picture", _PICTURE)),
    (b"MM\x00\x2b", Kind("TIFF", "picture", _PICTURE)),
    (b"IIRO", Kind("Olympus raw", "picture", _PICTURE)),
    (b"IIU\x00", Kind("Panasonic raw", "picture", _PICTURE)),
    (b"FUJIFILMCCD-RAW", Kind("Fujifilm raw", "picture", _PICTURE)),
    (b"\xff\x0a", Kind("JPEG XL", "picture", "convert it to PNG | djxl {file} picture.png")),
    (b"\x00\x00\x00\x0cJXL ", Kind("JPEG XL", "picture", "convert it to PNG | djxl {file} picture.png")),
    (b"\x00\x00\x00\x0cjP  ", Kind("JPEG 2000", "picture", _PICTURE)),
    (b"\xff\x4f\xff\x51", Kind("JPEG 2000", "picture", _PICTURE)),
    (b"II\xbc\x01", Kind("JPEG XR", "picture", _PICTURE)),
    (b"8BPS", Kind("Photoshop (PSD)", "picture", _PICTURE)),
    (b"gimp xcf", Kind("GIMP (XCF)", "picture", _PICTURE)),
    (b"\x00\x00\x01\x00", Kind("Windows icon (ICO)", "picture", _PICTURE)),
    (b"icns", Kind("macOS icon (ICNS)", "picture", _PICTURE)),
    (b"qoif", Kind("QOI", "picture", _PICTURE)),
    (b"DDS ", Kind("DirectDraw (DDS)", "picture", _PICTURE)),
    (b"\x76\x2f\x31\x01", Kind("OpenEXR", "picture", _PICTURE)),
    (b"#?RADIANCE", Kind("Radiance (HDR)", "picture", _PICTURE)),
    (b"BPG\xfb", Kind("BPG", "picture", _PICTURE)),
    (b"FLIF", Kind("FLIF", "picture", _PICTURE)),
    (b"%PDF", Kind("PDF", "other", "draw its page as a picture | pdftoppm -jpeg -singlefile {file} picture")),
    (b"%!PS", Kind("PostScript", "other", "draw its page as a picture | gs -sDEVICE=jpeg -o picture.jpg {file}")),
    (b"fLaC", Kind("FLAC", "sound", _SOUND)),
    (b"RF64", Kind("RF64", "sound", _SOUND)),
    (b"BW64", Kind("BW64", "sound", _SOUND)),
    (b"riff\x2e\x91\xcf\x11", Kind("Wave64", "sound", _SOUND)),
    (b".snd", Kind("AU", "sound", _SOUND)),
    (b"dns.", Kind("AU", "sound", _SOUND)),
    (b"caff", Kind("CAF", "sound", _SOUND)),
    (b"#!AMR", Kind("AMR", "sound", _SOUND)),
    (
        b"MThd",
        Kind("MIDI", "other", "it holds notes, no sound; play it | timidity {file} -Ow -o sound.wav"),
    ),
    (b"wvpk", Kind("WavPack", "sound", _SOUND)),
    (b"MAC ", Kind("Monkey's Audio", "sound", _SOUND)),
    (b"TTA1", Kind("True Audio", "sound", _SOUND)),
    (b"MPCK", Kind("Musepack", "sound", _SOUND)),
    (b"MP+", Kind("Musepack", "sound", _SOUND)),
    (b"DSD ", Kind("DSF", "sound", _SOUND)),
    (b"FRM8", Kind("DSDIFF", "sound", _SOUND)),
    (b"\x0b\x77", Kind("AC-3", "sound", _SOUND)),
    (b"ADIF", Kind("AAC", "sound", _SOUND)),
    (b".RMF", Kind("RealMedia", "video", _VIDEO)),
    (b".ra\xfd", Kind("RealAudio", "sound", _SOUND)),
    (b"#!SILK_V3", Kind("SILK", "sound", "convert it with a SILK decoder to WAV")),
    (b"\x02#!SILK_V3", Kind("SILK", "sound", "convert it with a SILK decoder to WAV")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("Windows Media", "video", _VIDEO)),
    (b"\x1a\x45\xdf\xa3", Kind("Matroska or WebM", "video", _VIDEO)),
    (b"FLV\x01", Kind("Flash video", "video", _VIDEO)),
    (b"\x00\x00\x01\xba", Kind("MPEG video", "video", _VIDEO)),
    (b"\x00\x00\x01\xb3", Kind("MPEG video", "video", _VIDEO)),
    (b"PK\x03\x04", Kind("ZIP archive", "other", "unpack it and give a file in it")),
    (b"\x1f\x8b", Kind("gzip archive", "other", "unpack it | gunzip {file}")),
    (b"\x28\xb5\x2f\xfd", Kind("Zstandard archive", "other", "unpack it | zstd -d {file}")),
    (b"7z\xbc\xaf\x27\x1c", Kind("7-Zip archive", "other", "unpack it and give a file in it")),
    (b"Rar!", Kind("RAR archive", "other", "unpack it and give a file in it")),
    (b"\x89MCAP0\r\n", Kind("recording (MCAP)", "other", "replay it | glasses replay {file}")),
    (b"GLSEAL1", Kind("encrypted recording", "other", "replay it | glasses replay {file}")),
    (b"GGUF", Kind("model (GGUF)", "other", "name it in a bundle")),
)
_QUICKTIME = Kind("QuickTime", "video", _VIDEO)
# ISO base media files ("....ftyp") by brand, ISO/IEC 14496-12 and its registry mp4ra.org.
_BRANDS: dict[bytes, Kind] = {
    **dict.fromkeys((b"avif", b"avis"), Kind("AVIF", "picture", _PICTURE)),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"),
        Kind("HEIC", "picture", _PICTURE),
    ),
    b"crx ": Kind("Canon raw", "picture", _PICTURE),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A "), Kind("M4A", "sound", _SOUND)),
    b"qt  ": _QUICKTIME,
}
_MP4 = Kind("MP4", "video", _VIDEO)
# The first bytes of the first packet of an Ogg stream; what is not here is Vorbis, Opus or FLAC, which can be read.
_IN_OGG = (
    (b"Speex   ", Kind("Speex", "sound", _SOUND)),
    (b"\x80theora", Kind("Ogg video", "video", _VIDEO)),
    (b"BBCD\0", Kind("Ogg video", "video", _VIDEO)),
)
_IN_RIFF = {
    b"WAVE": Kind("WAV", "sound", _SOUND),
    b"WEBP": Kind("WebP", "picture", _PICTURE),
    b"AVI ": Kind("AVI", "video", _VIDEO),
}
_IN_FORM = {
    **dict.fromkeys((b"AIFF", b"AIFC"), Kind("AIFF", "sound", _SOUND)),
    **dict.fromkeys((b"8SVX", b"16SV"), Kind("IFF", "sound", _SOUND)),
}
_BMP_HEADERS = tuple(bytes([size, 0, 0, 0]) for size in (12, 40, 52, 56, 64, 108, 124))  # the sizes there are
_BMP = Kind("BMP", "picture", _PICTURE)
_PNM = Kind("PPM", "picture", _PICTURE)
_SVG = Kind("SVG", "picture", "it is a drawing in words; draw it | rsvg-convert {file} -o picture.png")
_TEXT_BYTES = 512


def kind_of(data: bytes) -> Kind | None:
    """The kind of a file that begins with `data` (some kilobytes do), None where it is not known."""
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return _raw_picture(data) or kind if kind.name == "TIFF" else kind
    return _boxed(data) or _framed(data) or _written(data)


def _raw_picture(tiff: bytes) -> Kind | None:
    """Canon's raw files are TIFF with a mark; of others the decoder finds the small preview only."""
    return Kind("Canon raw", "picture", _PICTURE) if tiff[8:10] == b"CR" else None


def _boxed(data: bytes) -> Kind | None:
    """Kinds that say what they are behind a container's head: RIFF, IFF, Ogg, MP4."""
    head, form = data[:4], data[8:12]
    if head in (b"RIFF", b"RIFX"):
        return _IN_RIFF.get(form)
    if head == b"FORM":
        return _IN_FORM.get(form)
    if head == b"OggS":
        inside = data[28:44]
        return next((kind for mark, kind in _IN_OGG if inside.startswith(mark)), Kind("Ogg", "sound", _SOUND))
    if data[4:8] == b"ftyp":
        return next((_BRANDS[brand] for brand in _brands(data) if brand in _BRANDS), _MP4)
    return _QUICKTIME if data[4:8] in (b"moov", b"mdat", b"wide") else None


def _brands(data: bytes) -> Iterator[bytes]:
    """The major brand of an MP4 family's file and those it is compatible with: an AVIF may call itself mif1."""
    size = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))]
    if brands[0] in (b"mif1", b"msf1"):
        yield from (brand for brand in brands if brand in (b"avif", b"avis"))
    yield from brands if brands[0] in _BRANDS else ()


def _framed(data: bytes) -> Kind | None:
    """Kinds with short signatures: MPEG sound, and pictures whose header is checked a little further."""
    if data.startswith(b"ID3"):
        return Kind("MP3", "sound", _SOUND)
    if len(data) > 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:  # 11 bits of sync, 2 of version, 2 of layer
        version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
        if layer and version != 1:
            return Kind("MP3", "sound", _SOUND)
        if not layer and version >= 2:  # MPEG-4 or MPEG-2 in ADTS frames
            return Kind("AAC", "sound", _SOUND)
    if data[:2] == b"BM" and data[14:18] in _BMP_HEADERS:
        return _BMP
    return _PNM if re.match(rb"P[1-7fF]\s", data) else None


def _written(data: bytes) -> Kind | None:
    """Kinds that are text: SVG, a web page, JSON, or any text."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype svg")) and b"<svg" in head:
        return _SVG
    if head.startswith((b"<!doctype html", b"<html")):
        return Kind("web page", "other", "a download may have given its page instead of the file")
    if b"\0" in data[:_TEXT_BYTES]:
        return None
    try:
        data[:_TEXT_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(data[:_TEXT_BYTES]) - 4:
            return None
    return Kind("text", "other", "give text as text")


def cannot_read(kind: Kind, wanted: Medium, name: str, path: Path | None) -> InputError:
    """The error for a file of a kind that the reader of `wanted` cannot read: what it is, and how to convert it."""
    if kind.medium in ("picture", "sound") and kind.medium != wanted:
        return InputError(Reason.BAD_INPUT, f"{name} is a {kind.medium} ({kind.name}), not a {wanted}")
    return InputError(
        Reason.BAD_INPUT,
        f"{name} is of the kind {kind.name}, whatever its name says, and cannot be read as a {wanted}; "
        + how_to_convert(kind, path),
    )


def how_to_convert(kind: Kind, path: Path | None) -> str:
    """A kind's advice, with its command where there is a file: who hands in bytes may have neither file nor shell."""
    words, _, command = kind.advice.partition(" | ")
    return with_command(words, command, path)


def with_command(words: str, command: str, path: Path | None) -> str:
    """Advice in words, followed by a command with {file} quoted for a shell if there is one."""
    return f"{words}: {command.format(file=shlex.quote(str(path)))}" if path and command else words
