"""Which messages of an MCAP file are entries of ours, and which another writer's."""

from __future__ import annotations

from collections.abc import Callable

from mcap.records import Channel, Message, Schema

from glasses.errors import InputError, Reason
from glasses.recording.entries import TOPICS

Tell = Callable[..., None]  # as a logger's methods are called
SCHEMAS = {"/microphone": "foxglove.RawAudio", "/camera": "foxglove.CompressedImage"}  # protobuf; all others are JSON


class Channels:
    """The channels of the file `name`; `tell` is told once of each that is left out."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell = name, tell
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, Channel] = {}
        self._told: set[str] = set()

    def add(self, record: Schema | Channel) -> None:
        """A definition; one that comes again takes the place of the first."""
        if isinstance(record, Schema):
            self._schemas[record.id] = record.name
        else:
            self._channels[record.id] = record

    def topic_of(self, message: Message) -> str | None:
        """The topic of an entry, None for what is not ours. Raises InputError(CORRUPT) for sound or pictures that are
        written in another way: without them there is nothing to replay."""
        channel = self._channels.get(message.channel_id)
        if channel is None or channel.topic not in TOPICS:
            return None
        encoding, schema = channel.message_encoding, self._schemas.get(channel.schema_id, "")
        expected = SCHEMAS.get(channel.topic)
        if expected is None:
            return channel.topic if (encoding, channel.schema_id) == ("json", 0) else self._left_out(channel.topic)
        if encoding == "protobuf" and schema in ("", expected):
            return channel.topic
        written = f"{encoding[:40] or 'nothing'}{f' {schema[:80]}' if schema else ''}"
        raise InputError(
            Reason.CORRUPT, f"{self._name}: {channel.topic} is written as {written}; read is protobuf {expected}"
        )

    def _left_out(self, topic: str) -> None:
        if topic not in self._told:
            self._told.add(topic)
            self._tell("%s", f"{self._name}: {topic} is another writer's and is left out")
