"""One recorded segment as MCAP: what the sensors gave and what was decided.

Sound and pictures are Foxglove's own messages (RawAudio, CompressedImage in protobuf), everything else is JSON, so the
files open in Foxglove and Rerun as they are. Times are the host's monotonic clock; the file's metadata `session` holds
what to add for wall-clock time. Pictures are kept as JPEG, so latents of a replay differ a little from the live ones.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, Self

import zstandard
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Footer, Message, Metadata
from mcap.stream_reader import CRCValidationError, StreamReader, breakup_chunk
from mcap.writer import IndexType, Writer

from glasses.errors import InputError, Reason
from glasses.recording.entries import TOPICS, Entry, decode, encode

CHUNK_BYTES = 64 * 1024
MAX_RECORD_BYTES = 32 << 20  # a picture of 25 megapixels as JPEG fits; nothing larger is ever written
_MAGIC = b"\x89MCAP0\r\n"


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as bytes, for copying without a second loss of JPEG."""

    topic: str
    t_ns: int
    data: bytes

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """An entry encoded. Raises InputError(BAD_INPUT) for a picture that cannot be encoded."""
        topic, data = encode(entry)
        return cls(topic, entry.t_ns, data)


class CutOffError(InputError):
    """A file ends before its end; everything before was given."""


class Out(Protocol):
    """Where a segment is written: a file, or an EncryptedWriter."""

    def write(self, data: bytes, /) -> int: ...
    def tell(self) -> int: ...
    def flush(self) -> None: ...


class SegmentWriter:
    """Writes entries; `flush` makes all of them readable should the process die next."""

    def __init__(self, out: Out, about: Mapping[str, str]) -> None:
        # mcap takes any stream; a raw one it would buffer itself, so `Out` is never that.
        self._writer = Writer(out, chunk_size=CHUNK_BYTES, index_types=IndexType.ALL)  # pyright: ignore[reportArgumentType]
        self._writer.start(profile="", library="glasses")
        self._writer.add_metadata("session", dict(about))
        protobuf = {"/microphone": RawAudio, "/camera": CompressedImage}
        self._channels = {topic: self._channel(topic, protobuf.get(topic)) for topic in TOPICS}
        self._seq = 0

    def write(self, entry: Entry) -> None:
        """Adds one entry. Raises OSError, and InputError as `RawEntry.of`."""
        self.copy(RawEntry.of(entry))

    def copy(self, raw: RawEntry) -> None:
        """Adds an entry as another file has it. Raises OSError."""
        self._seq += 1
        channel = self._channels[raw.topic]
        self._writer.add_message(channel, log_time=raw.t_ns, data=raw.data, publish_time=raw.t_ns, sequence=self._seq)

    def flush(self) -> None:
        """Ends the chunk. Raises OSError."""
        self._writer.flush()

    def finish(self) -> None:
        """Writes the index. Raises OSError."""
        self._writer.finish()

    def _channel(self, topic: str, message: Any) -> int:
        if message is None:
            return self._writer.register_channel(topic, "json", 0)
        schema = _descriptor_set(message.DESCRIPTOR.file)
        schema_id = self._writer.register_schema(message.DESCRIPTOR.full_name, "protobuf", schema)
        return self._writer.register_channel(topic, "protobuf", schema_id)


def read_raw(source: BinaryIO, name: str) -> Iterator[RawEntry | dict[str, str]]:
    """The session's metadata, then the entries in the order they were written.

    Raises InputError(CORRUPT) for damage, CutOffError at the end of a file that was cut off.
    """
    topics: dict[int, str] = {}
    try:
        for record in _records(source):
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Metadata) and record.name == "session":
                yield record.metadata
            elif isinstance(record, Message) and topics.get(record.channel_id) in TOPICS:
                yield RawEntry(topics[record.channel_id], record.log_time, record.data)
            elif isinstance(record, Footer):
                return
    except EOFError as error:
        raise CutOffError(Reason.CORRUPT, f"{name} was cut off; what came before is whole") from error
    except (McapError, CRCValidationError, zstandard.ZstdError, struct.error, ValueError) as error:
        raise InputError(Reason.CORRUPT, f"{name} is damaged: {_why(error)}") from error


def read_entries(source: BinaryIO, name: str) -> Iterator[Entry | dict[str, str]]:
    """As `read_raw`, decoded. Raises InputError(CORRUPT) as that does, and for an entry that is not what it claims."""
    for raw in read_raw(source, name):
        if isinstance(raw, dict):
            yield raw
            continue
        try:
            entry = decode(raw.topic, raw.data)
        except (DecodeError, KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(Reason.CORRUPT, f"{name}: a damaged entry of {raw.topic}: {_why(error)}") from error
        yield entry


def _why(error: Exception) -> str:
    """In words: the text of a KeyError is the bare key."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error) or "nothing is known of how"


def _records(source: BinaryIO) -> Iterator[Any]:
    if not _MAGIC.startswith(_exactly(source, len(_MAGIC))):
        raise ValueError("it does not begin as an MCAP file does")
    while True:
        head = _exactly(source, 9)  # opcode u8, length u64: https://mcap.dev/spec#records
        length = int.from_bytes(head[1:], "little")
        if length > MAX_RECORD_BYTES:
            raise ValueError(f"a record claims {length:,} bytes")
        body = _exactly(source, length)
        # one record alone, so that the library cannot read past it: what it lacks then is damage, not the file's end
        for record in itertools.islice(
            StreamReader(io.BytesIO(head + body), skip_magic=True, emit_chunks=True).records, 1
        ):
            yield from _of_chunk(record) if isinstance(record, Chunk) else (record,)


def _exactly(source: BinaryIO, n_bytes: int) -> bytes:
    """Raises EOFError where the file was cut off; ValueError where it ends as a whole one does, so the length lied."""
    data = source.read(n_bytes)
    if len(data) < n_bytes:
        raise ValueError("a record reaches past the end") if data.endswith(_MAGIC) else EOFError
    return data


def _of_chunk(chunk: Chunk) -> list[Any]:
    sizes = [chunk.uncompressed_size]
    if chunk.compression == "zstd":
        sizes.append(zstandard.frame_content_size(chunk.data))
    if max(sizes) > MAX_RECORD_BYTES or min(sizes) < 0:
        raise ValueError(f"a chunk claims {max(sizes):,} bytes")
    return breakup_chunk(chunk, validate_crc=True)


def _descriptor_set(file: FileDescriptor) -> bytes:
    """The file's descriptor and all it depends on, as MCAP wants a protobuf schema."""
    found: dict[str, FileDescriptor] = {}

    def visit(one: FileDescriptor) -> None:
        for dependency in one.dependencies:
            visit(dependency)
        found.setdefault(one.name, one)

    visit(file)
    out = FileDescriptorSet()
    for one in found.values():
        one.CopyToProto(out.file.add())
    return out.SerializeToString()
