"""The records of an MCAP file, by whomever it was written: https://mcap.dev/spec#records.

Only what carries entries is read: a damaged index, or an attachment, is nobody's loss. Nothing is allocated for a
length before it was held against a cap, and what is there counts, not what a header says of it. After a loss of power,
parts of a file may be zeros: what stands before and behind such a hole is read.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Metadata, Schema

MAX_RECORD_BYTES = 32 << 20  # a picture of 25 megapixels as JPEG fits; also of a chunk, unpacked
_MAGIC = b"\x89MCAP0\r\n"
_HEAD_BYTES = 9  # opcode u8, length u64
_PIECE_BYTES = 1 << 20  # unpacked at once
_CHUNK_HEAD = struct.Struct("<QQQII")  # start, end, size and CRC-32 when unpacked, length of the compression's name
_ZEROS = bytes(512)  # a sector; no compressed content has so many
# Opcode, length, start, end, size, CRC-32, and the compression's name with its length.
_CHUNK_BEGINS = re.compile(rb"\x06(.{8}).{28}(?:\x04\0\0\0zstd|\x03\0\0\0lz4)", re.DOTALL)
_CHUNK_BEGINS_BYTES = 45
_READ: dict[int, Callable[[ReadDataStream], McapRecord]] = {
    Opcode.SCHEMA: Schema.read,
    Opcode.CHANNEL: Channel.read,
    Opcode.METADATA: Metadata.read,
}
# What reading a damaged file raises; zstandard's and lz4's own errors, and those of struct and unknown text.
DAMAGE = (McapError, zstandard.ZstdError, RuntimeError, struct.error, ValueError, OverflowError)


class Hole:
    """Stands where a part of the file is missing."""


class UnknownCompression(Exception):  # noqa: N818  # never leaves the package
    """A chunk is compressed with something that is not read here."""


def records(source: BinaryIO) -> Iterator[McapRecord | Hole]:
    """Schemas, channels, messages and metadata in order, up to the footer.

    Raises EOFError where the file was cut off, or is zeros from there on, after all that came before it,
    UnknownCompression, and DAMAGE.
    """
    if not _MAGIC.startswith(_exactly(source, len(_MAGIC))):
        raise ValueError("it does not begin as an MCAP file does")
    head = b""
    while True:
        head += _exactly(source, _HEAD_BYTES - len(head))
        if not any(head):
            yield Hole()
            head = _next_chunk(source)
            continue
        opcode, length = head[0], int.from_bytes(head[1:], "little")
        head = b""
        if length > MAX_RECORD_BYTES:
            raise ValueError(f"a record claims {length:,} bytes")
        body = source.read(length)
        if len(body) < length:
            _refuse_lie(body)
            if opcode == Opcode.CHUNK:
                yield from _of_cut_chunk(body)
            raise EOFError
        if opcode == Opcode.FOOTER:
            return
        if opcode == Opcode.CHUNK and (hole := body.find(_ZEROS)) >= 0 and not _is_whole(body):
            yield from _of_cut_chunk(body[:hole])
            yield Hole()
        elif opcode == Opcode.CHUNK:
            yield from list(_of_chunk(Chunk.read(ReadDataStream(io.BytesIO(body)))))
        elif (record := _record(opcode, body)) is not None:
            yield record


def _next_chunk(source: BinaryIO) -> bytes:
    """Skips to the next chunk whose compression is known, and returns the head of its record. Raises EOFError."""
    seen = b""
    if not source.seekable():  # it is encrypted, and what was written into it is what is read
        raise EOFError
    while piece := source.read(_PIECE_BYTES):
        seen += piece
        for found in _CHUNK_BEGINS.finditer(seen):
            if int.from_bytes(found[1], "little") <= MAX_RECORD_BYTES:
                source.seek(found.start() - len(seen), io.SEEK_CUR)
                return _exactly(source, _HEAD_BYTES)
        seen = seen[-_CHUNK_BEGINS_BYTES:]
    raise EOFError


def _is_whole(body: bytes) -> bool:
    try:
        list(_of_chunk(Chunk.read(ReadDataStream(io.BytesIO(body)))))
    except (UnknownCompression, *DAMAGE):
        return False
    return True


def _record(opcode: int, body: bytes) -> McapRecord | None:
    """The record, None for one of no interest. It is read alone, so that it cannot reach into the next."""
    stream = ReadDataStream(io.BytesIO(body))
    if opcode == Opcode.MESSAGE:
        return Message.read(stream, len(body))
    return _READ[opcode](stream) if opcode in _READ else None


def _exactly(source: BinaryIO, n_bytes: int) -> bytes:
    data = source.read(n_bytes)
    if len(data) < n_bytes:
        _refuse_lie(data)
        raise EOFError
    return data


def _refuse_lie(rest: bytes) -> None:
    """Raises ValueError where a file that is too short ends as a whole one does: then a length was wrong."""
    if rest.endswith(_MAGIC):
        raise ValueError("a record reaches past the end")


def _of_chunk(chunk: Chunk) -> Iterator[McapRecord]:
    """The records of a chunk whose check-sum is right; one that holds less than it claims, or half a record, raises."""
    if chunk.uncompressed_size > MAX_RECORD_BYTES:
        raise ValueError(f"a chunk claims {chunk.uncompressed_size:,} bytes")
    data = b"".join(_unpacked(chunk.compression, chunk.data))
    if chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise ValueError("the check-sum of a chunk does not fit")
    if len(data) < chunk.uncompressed_size:
        raise ValueError(f"a chunk holds {len(data):,} of the {chunk.uncompressed_size:,} bytes it claims")
    try:
        yield from _inside(data)
    except EOFError as error:
        raise ValueError("a chunk ends within a record") from error


def _of_cut_chunk(body: bytes) -> Iterator[McapRecord]:
    """The whole records in what is there of a chunk; without its end there is no check-sum to hold against."""
    if len(body) < _CHUNK_HEAD.size:
        return
    *_, n_name = _CHUNK_HEAD.unpack_from(body)
    start = _CHUNK_HEAD.size + n_name
    name, data = body[_CHUNK_HEAD.size : start], body[start + 8 :]
    if start + 8 > len(body):
        return
    unpacked = bytearray()
    try:
        for piece in _unpacked(name.decode(), data):
            unpacked += piece
    except (zstandard.ZstdError, RuntimeError, ValueError):
        pass  # where it was cut; EOFError follows
    try:
        yield from _inside(bytes(unpacked))
    except EOFError:
        return


def _inside(data: bytes) -> Iterator[McapRecord]:
    """Raises EOFError where `data` ends within a record."""
    at = 0
    while at < len(data):
        end = at + _HEAD_BYTES + int.from_bytes(data[at + 1 : at + _HEAD_BYTES], "little")
        if at + _HEAD_BYTES > len(data) or end > len(data):
            raise EOFError
        if (record := _record(data[at], data[at + _HEAD_BYTES : end])) is not None:
            yield record
        at = end


def _unpacked(compression: str, data: bytes) -> Iterator[bytes]:
    """The content, at most MAX_RECORD_BYTES; streamed, so of frames that do not say their size, and of several."""
    if compression not in _UNPACK:
        known = ", ".join(filter(None, _UNPACK))
        raise UnknownCompression(f"a chunk is compressed with {compression[:40]!r}; read are {known} and none")
    n_bytes = 0
    for piece in _UNPACK[compression](data):
        n_bytes += len(piece)
        if n_bytes > MAX_RECORD_BYTES:
            raise ValueError(f"a chunk holds over {MAX_RECORD_BYTES:,} bytes")
        yield piece


def _zstd(data: bytes) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_RECORD_BYTES)
    with unpacker.stream_reader(data, read_across_frames=True) as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _lz4(data: bytes) -> Iterator[bytes]:
    while data:
        unpacker = lz4.frame.LZ4FrameDecompressor()
        while not unpacker.eof:
            piece = unpacker.decompress(data, max_length=_PIECE_BYTES)
            data = b""
            yield piece
            if not piece and unpacker.needs_input:
                raise ValueError("a compressed chunk ends too early")
        data = bytes(unpacker.unused_data or b"")


def _none(data: bytes) -> Iterator[bytes]:
    yield data


_UNPACK: dict[str, Callable[[bytes], Iterator[bytes]]] = {"zstd": _zstd, "lz4": _lz4, "": _none}
