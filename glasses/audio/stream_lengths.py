"""What streams of frames or pages really hold: FLAC (RFC 9639), Ogg (RFC 3533), and MP3 with Xing's header."""

from __future__ import annotations

import re
import struct

from glasses.audio.sound_part import MAX_PARTS, Part, Read

_XING_ERROR = 0.01  # of the length: mpg123 complains of more
_SEARCH = 4096
_SEARCHED = 1 << 20
_KBPS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SIDE_INFO = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}  # (MPEG-1, mono) -> bytes


def flac(read: Read, size: int) -> list[Part]:
    """Its number of samples is set to 0, for unknown: libsndfile would stop there, or look for more."""
    starts = [0, *_flac_starts(read, size)]
    parts = []
    for first, end in zip(starts, [*starts[1:], size], strict=True):
        (packed,) = struct.unpack(
            ">Q", read(first + 18, 8)
        )  # 20 bits of rate, 3 of channels, 5 of depth, 36 of samples
        frames = packed & ((1 << 36) - 1)
        parts.append(Part(first, end, ((first + 18, struct.pack(">Q", packed - frames)),), frames=frames))
    return parts


def _flac_starts(read: Read, size: int) -> list[int]:
    """Where further FLAC files begin: their mark, and the head of the block that must follow it."""
    found: list[int] = []
    for at in range(4, size, _SEARCHED):
        nearby = read(at, _SEARCHED + 7)
        found += [at + match.start() for match in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", nearby)]
    return found[: MAX_PARTS - 1]


def ogg(read: Read, size: int) -> list[Part]:
    """The links of a chained stream: each begins with pages that begin streams (RFC 3533, 4 and 6)."""
    starts, ends_properly, was_beginning, at = [0], False, True, 0
    while len(head := read(at, 27)) == 27 and head.startswith(b"OggS"):
        flags, n_segments = head[5], head[26]
        page = 27 + n_segments + sum(read(at + 27, n_segments))
        if flags & 2 and not was_beginning and len(starts) < MAX_PARTS:
            starts.append(at)
        was_beginning = bool(flags & 2)
        if at + page > size:
            ends_properly = False
            break
        ends_properly = bool(flags & 4)
        at += page
    note = "" if ends_properly else "is cut short or damaged: its last page is not there"
    ends = [*starts[1:], size]
    return [Part(first, end, note=note if end == size else "") for first, end in zip(starts, ends, strict=True)]


def mp3(read: Read, size: int) -> list[Part]:
    """The numbers in the header that Xing invented, a frame of its own, are put right where they do not fit the bytes.

    mpg123 stops where it says, so that a second recording behind the first one would be lost.
    """
    at = 0
    tag = read(0, 10)
    if tag.startswith(b"ID3"):
        at = 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9])
    frame = read(at, 4)
    is_mpeg1, is_mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    xing_at = at + 4 + _SIDE_INFO[is_mpeg1, is_mono]
    name, flags, frames, declared = struct.unpack(">4sIII", read(xing_at, 16))
    if name not in (b"Xing", b"Info") or flags & 3 != 3 or abs(size - at - declared) <= _XING_ERROR * declared:
        return [Part(0, size)]
    counted = struct.pack(">II", _count_frames(read, at, size) - 1, size - at)
    return [Part(0, size, ((xing_at + 8, counted),), frames=frames * (1152 if is_mpeg1 else 576))]


def _count_frames(read: Read, at: int, size: int) -> int:
    """The frames of layer III that begin before `size`; what is none is stepped over."""
    count = 0
    while at + 4 <= size:
        length = _frame_bytes(read(at, 4))
        count += length > 0
        at += length or _to_sync(read(at + 1, _SEARCH))
    return count


def _frame_bytes(header: bytes) -> int:
    """The length of a frame of MPEG layer III (ISO/IEC 11172-3, 13818-3), 0 where it is none."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if header[0] != 0xFF or header[1] < 0xE0 or version == 1 or layer != 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    is_mpeg1 = version == 3
    rate_hz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits_per_s = 1000 * _KBPS[is_mpeg1][bit_rate]
    return (144 if is_mpeg1 else 72) * bits_per_s // rate_hz + (header[2] >> 1 & 1)


def _to_sync(following: bytes) -> int:
    """How far to go to the next byte that may begin a frame; `following` are the bytes behind this one."""
    found = following.find(b"\xff")
    return 1 + (found if found >= 0 else len(following))
