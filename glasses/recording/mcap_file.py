"""One recorded segment as MCAP: what the sensors gave and what was decided.

Sound and pictures are Foxglove's own messages (RawAudio, CompressedImage in protobuf), everything else is JSON, so the
files open in Foxglove and Rerun as they are. Times are the host's monotonic clock; the file's metadata `session` holds
what to add for wall-clock time. Pictures are kept as JPEG, so latents of a replay differ a little from the live ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, Self

from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from mcap.records import Channel, Message, Metadata, Schema
from mcap.writer import IndexType, Writer

from glasses.errors import InputError, Reason
from glasses.recording.channels import Channels, Tell
from glasses.recording.entries import TOPICS, Entry, UnreadableEntry, decode, encode
from glasses.recording.mcap_records import DAMAGE, Hole, UnknownCompression, records
from glasses.recording.other_sound import OneVoice, OtherSound

CHUNK_BYTES = 64 * 1024
log = logging.getLogger(__name__)


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


def read_raw(source: BinaryIO, name: str, *, tell: Tell = log.warning) -> Iterator[RawEntry | dict[str, str]]:
    """The session's metadata, then the entries in the order they were written; `tell` is told of what is left out.

    Raises InputError(CORRUPT) for damage and for what is written in a way that is not read here, CutOffError at the end
    of a file that was cut off, or is empty from there on.
    """
    channels, last_ns, hole_ns = Channels(name, tell), 0, None
    try:
        for record in records(source):
            if isinstance(record, Hole):
                hole_ns = last_ns if hole_ns is None else hole_ns
            elif isinstance(record, Schema | Channel):
                channels.add(record)
            elif isinstance(record, Metadata) and record.name == "session":
                yield record.metadata
            elif isinstance(record, Message) and (topic := channels.topic_of(record)) is not None:
                if hole_ns is not None:
                    missing_s = max(0, record.log_time - hole_ns) / 1e9
                    tell(
                        "%s: %.1f s are missing, a part of the file is empty; what is behind it is read",
                        name,
                        missing_s,
                    )
                last_ns, hole_ns = record.log_time, None
                yield RawEntry(topic, record.log_time, record.data)
        if hole_ns is not None:
            tell("%s: a part of the file is empty, and nothing behind it could be read", name)
    except EOFError as error:
        raise CutOffError(Reason.CORRUPT, f"{name} was cut off; what came before is whole") from error
    except UnknownCompression as error:
        raise InputError(Reason.CORRUPT, f"{name}: {error}") from error
    except DAMAGE as error:
        raise InputError(Reason.CORRUPT, f"{name} is damaged: {_why(error)}") from error


def read_entries(source: BinaryIO, name: str, *, tell: Tell = log.warning) -> Iterator[Entry | dict[str, str]]:
    """As `read_raw`, decoded, with all sound as chunks of one channel at 16 kHz.

    Raises InputError(CORRUPT) as that does, and for an entry that is not what it claims.
    """
    voice = OneVoice()
    for raw in read_raw(source, name, tell=tell):
        if isinstance(raw, dict):
            yield raw
            continue
        try:
            entry = decode(raw.topic, raw.data)
        except UnreadableEntry as error:
            raise InputError(Reason.CORRUPT, f"{name}: {raw.topic} {error}") from error
        except (DecodeError, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise InputError(Reason.CORRUPT, f"{name}: a damaged entry of {raw.topic}: {_why(error)}") from error
        if isinstance(entry, OtherSound):
            yield from voice.take(entry)
        else:
            yield entry


def _why(error: Exception) -> str:
    """In words: the text of a KeyError is the bare key."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error) or "nothing is known of how"


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
