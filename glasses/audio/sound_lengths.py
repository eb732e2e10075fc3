"""What a sound file really holds, whatever length its header says.

Recorders that crash, write to a pipe or run out of space leave a wrong length in the header, and files get cut or put
one behind the other. The bytes that are there outrank such a number. Here the containers are walked without decoding
anything; the result says which bytes are a recording of their own, and which numbers to write over the header's so that
libsndfile reads all of them. Layouts: the RIFF, RF64 (EBU Tech 3306), Wave64, AIFF-C, IFF and CAF specifications.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from glasses.audio.sound_part import MAX_PARTS, Part, Read
from glasses.audio.stream_lengths import flac, mp3, ogg

_STREAMED = 0x7FFF_0000  # a recorder that writes to a pipe leaves the largest number of 31 or 32 bits
_TOLERANCE = 0.005  # of the length: a header that is wrong by less is not worth a note
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # what may stand behind the last chunk
_MAX_CHUNKS = 100_000
_HIDDEN_WITHIN = 1 << 20  # where the sound is looked for if a chunk before it says a wrong length


def parts_of(kind: str, read: Read, size: int) -> list[Part]:
    """The recordings in a file of `kind` (a name of glasses.media.kinds), in order; at least one."""
    try:
        return _READERS.get(kind, _chunked)(read, size)
    except (struct.error, IndexError, OverflowError):  # it ends within its header: libsndfile says what it makes of it
        return [Part(0, size)]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a container of chunks is built. `lead`: bytes of the data chunk before its samples."""

    form: bytes  # what stands at offset 8, b"" for no check
    data: bytes
    size_format: str
    first: int = 12
    id_bytes: int = 4
    align: int = 2
    lead: int = 0
    counts_head: bool = False
    total_at: int = 4  # of the container's own size; 0: it has none
    total_less: int = 8

    @property
    def head(self) -> int:
        return self.id_bytes + struct.calcsize(self.size_format)


_WAVE = _Layout(b"WAVE", b"data", "<I")
_LAYOUTS: dict[bytes, _Layout] = {
    b"RIFF": _WAVE,
    b"RIFX": _Layout(b"WAVE", b"data", ">I"),
    b"RF64": _WAVE,
    b"BW64": _WAVE,
    b"riff": _Layout(b"", b"data", "<Q", 40, 16, 8, counts_head=True, total_at=16, total_less=0),
    b"caff": _Layout(b"", b"data", ">Q", 8, 4, 1, lead=4, total_at=0),
}
_FORMS: dict[bytes, _Layout] = {
    **dict.fromkeys((b"AIFF", b"AIFC"), _Layout(b"", b"SSND", ">I", lead=8)),
    **dict.fromkeys((b"8SVX", b"16SV"), _Layout(b"", b"BODY", ">I")),
}


def _layout_at(read: Read, at: int) -> _Layout | None:
    head = read(at, 12)
    if head[:4] == b"FORM":
        return _FORMS.get(head[8:12])
    layout = _LAYOUTS.get(head[:4])
    return layout if layout and head[8 : 8 + len(layout.form)] == layout.form else None


def _chunked(read: Read, size: int) -> list[Part]:
    """Containers of chunks, one or several behind each other; a file of another kind is one part as it is."""
    parts: list[Part] = []
    at = 0
    while len(parts) < MAX_PARTS and at < size and (layout := _layout_at(read, at)):
        parts.append(_container(layout, read, at, size))
        at = parts[-1].end
    return parts or [Part(0, size)]


@dataclass(slots=True)
class _Walk:
    """Where the data chunk of a container lies, and what the numbers before it say."""

    at: int = 0  # of the data chunk; 0: none was found
    declared: int = 0  # bytes of samples
    patches: list[tuple[int, bytes]] = field(default_factory=list)
    common_at: int = 0  # AIFF's description
    long_size: int = 0  # RF64's size of the data


def _container(layout: _Layout, read: Read, start: int, size: int) -> Part:
    walk = _find_data(layout, read, start, size)
    if not walk.at:
        return Part(start, size)
    samples_at = walk.at + layout.head + layout.lead
    available = max(0, size - samples_at)
    is_known = 0 < walk.declared <= available
    after = samples_at + walk.declared
    after += -(after - start) % layout.align
    end = _end_of_chunks(layout, read, after, size) if is_known or walk.declared == 0 else None
    if end is None and is_known and _is_zero(read, after, size):
        end = size  # free space of a card: the same silence, but not recorded
    if end is not None:
        return Part(start, end, tuple(walk.patches))  # the header is right
    note = ""
    if is_known:
        if available - walk.declared > _TOLERANCE * available:
            note = "is longer than its header says; all of it is read"
    elif available < walk.declared * (1 - _TOLERANCE) and walk.declared < _STREAMED:
        note = f"is cut short: {available / walk.declared:.0%} of the sound that its header announces is there"
    return Part(start, size, (*walk.patches, *_sizes(layout, read, walk, start, size)), note)


def _find_data(layout: _Layout, read: Read, start: int, size: int) -> _Walk:
    walk, at = _Walk(), start + layout.first
    for _ in range(_MAX_CHUNKS):
        head = read(at, layout.head)
        if len(head) < layout.head:
            break
        (length,) = struct.unpack_from(layout.size_format, head, layout.id_bytes)
        content = length - (layout.head if layout.counts_head else 0)
        if head.startswith(layout.data):
            is_long = head[:4] == b"data" and length == 0xFFFF_FFFF and walk.long_size
            walk.at, walk.declared = at, walk.long_size if is_long else max(0, content - layout.lead)
            return walk
        if head[:4] == b"ds64":
            (walk.long_size,) = struct.unpack("<Q", read(at + 16, 8))
        elif head[:4] == b"COMM":
            walk.common_at = at + 8
        after = at + layout.head + content
        after += -(after - start) % layout.align
        if content < 0 or after > size:
            return _behind_wrong_length(layout, read, walk, at, size)
        at = after
    return walk


def _behind_wrong_length(layout: _Layout, read: Read, walk: _Walk, at: int, size: int) -> _Walk:
    """The data chunk that a chunk at `at` hides by saying a length beyond the file's end."""
    nearby = read(at + layout.head, _HIDDEN_WITHIN)
    found = nearby.find(layout.data)
    if found < 0 or layout.id_bytes != 4:
        return walk
    walk.at = at + layout.head + found
    (length,) = struct.unpack_from(layout.size_format, read(walk.at, layout.head), 4)
    walk.declared = max(0, length - layout.lead)
    walk.patches.append((at + 4, struct.pack(layout.size_format, found)))
    return walk


def _end_of_chunks(layout: _Layout, read: Read, at: int, size: int) -> int | None:
    """Where the container ends if well-formed chunks, or nothing, follow at `at`; None where something else does."""
    for _ in range(_MAX_CHUNKS):
        head = read(at, max(layout.head, 12))
        if _layout_at(read, at):
            return at
        if at >= size or len(head) < layout.head or head.startswith(_TAGS):
            return size
        name = head[:4]
        (length,) = struct.unpack_from(layout.size_format, head, layout.id_bytes)
        content = length - (layout.head if layout.counts_head else 0)
        if not (name.isascii() and name.decode("latin-1").isprintable()) or content < 0:
            return None
        if at + layout.head + content > size:
            return None
        at += layout.head + content
        at += at % 2 if layout.align == 2 else -at % layout.align
    return None


def _is_zero(read: Read, at: int, end: int) -> bool:
    return not any(any(read(i, 1 << 16)) for i in range(at, end, 1 << 16))


def _sizes(layout: _Layout, read: Read, walk: _Walk, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """What to write over a header so that its data reach to `end`."""
    available = max(0, end - walk.at - layout.head - layout.lead)
    most = 2 ** (8 * struct.calcsize(layout.size_format)) - 2
    length = available + layout.lead + (layout.head if layout.counts_head else 0)
    if read(start, 4) in (b"RF64", b"BW64") and length <= most:
        yield start, b"RIFF"  # its 64-bit sizes, in a chunk of their own, are then ignored
    yield walk.at + layout.id_bytes, struct.pack(layout.size_format, min(length, most))
    if layout.total_at:
        total = min(end - start - layout.total_less, most)
        yield start + layout.total_at, struct.pack(layout.size_format, total)
    if walk.common_at:
        channels, _, bits = struct.unpack(">HIH", read(walk.common_at, 8))
        is_raw = read(start + 8, 4) == b"AIFF" or read(walk.common_at + 18, 4) in (b"NONE", b"sowt", b"twos")
        if channels and bits and is_raw:
            yield walk.common_at + 2, struct.pack(">I", min(available // (channels * -(-bits // 8)), 2**32 - 1))


def _au(read: Read, size: int) -> list[Part]:
    order = ">" if read(0, 4) == b".snd" else "<"
    at, declared = struct.unpack(order + "II", read(4, 8))
    available = size - at
    if not 24 <= at < size or declared == available:
        return [Part(0, size)]
    note = ""
    if 0 < declared < available:
        note = "is longer than its header says; all of it is read"
    elif available < declared * (1 - _TOLERANCE) and declared < _STREAMED:
        note = f"is cut short: {available / declared:.0%} of the sound that its header announces is there"
    return [Part(0, size, ((8, struct.pack(order + "I", min(available, 0xFFFF_FFFE))),), note)]


_READERS = {"Ogg": ogg, "FLAC": flac, "MP3": mp3, "AU": _au}
