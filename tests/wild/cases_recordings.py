"""Kind 17: recordings as other writers make them: compressed, cut, encoded and named otherwise than ours."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lz4.frame
import numpy as np
import soxr
import zstandard
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from google.protobuf.timestamp_pb2 import Timestamp
from mcap.writer import CompressionType, Writer

from glasses.audio.sound_files import read_audio
from glasses.errors import GlassesError
from glasses.recording.mcap_file import CutOffError, RawEntry, SegmentWriter, read_entries
from glasses.types import NS_PER_MS, NS_PER_S, AudioChunk, Button
from tests.wild.case import Case
from tests.wild.world import FRANCE, in_process

_MAGIC = b"\x89MCAP0\r\n"
_CHUNK, _FOOTER = 6, 2
_SESSION = {"activation": "touch", "origin_ns": "0"}


def _sensed() -> list[AudioChunk | Button]:
    """A touch, the question for the capital of France, and three seconds of silence."""
    pcm = np.concatenate([read_audio(FRANCE), np.zeros(48_000, np.float32)])
    samples = np.round(pcm * 32767).astype(np.int16)
    chunks = [
        AudioChunk(n * 20 * NS_PER_MS, n, samples[at : at + 320], 16_000)
        for n, at in enumerate(range(0, len(samples) - 320, 320))
    ]
    return [Button(0, "tap"), *chunks]


def _ours(entries: list[AudioChunk | Button] | None = None) -> bytes:
    out = io.BytesIO()
    writer = SegmentWriter(out, _SESSION)
    for entry in _sensed() if entries is None else entries:
        writer.write(entry)
    writer.finish()
    return out.getvalue()


def _record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


def _as_chunk(inside: bytes, compression: str, data: bytes, *, claims: int | None = None) -> bytes:
    """A file whose records `inside` lie in one chunk, packed as `data`."""
    size = len(inside) if claims is None else claims
    name = compression.encode()
    head = struct.pack("<QQQII", 0, 0, size, zlib.crc32(inside), len(name)) + name + struct.pack("<Q", len(data))
    end = _record(_FOOTER, bytes(20)) + _MAGIC
    return _MAGIC + _record(1, bytes(8)) + _record(_CHUNK, head + data) + end


def _plain(entries: list[AudioChunk | Button] | None = None) -> bytes:
    """The records of our own file, without chunks, from the first channel to the last message."""
    out = io.BytesIO()
    writer = Writer(out, use_chunking=False, compression=CompressionType.NONE)
    writer.start()
    schema = writer.register_schema("foxglove.RawAudio", "protobuf", b"")
    sound = writer.register_channel("/microphone", "protobuf", schema)
    touch = writer.register_channel("/touch", "json", 0)
    for entry in _sensed() if entries is None else entries:
        if isinstance(entry, Button):
            writer.add_message(touch, entry.t_ns, b'{"t_ns": %d, "press": "tap"}' % entry.t_ns, entry.t_ns)
        else:
            message = RawAudio(data=entry.pcm.tobytes(), format="pcm-s16", sample_rate=16_000, number_of_channels=1)
            message.timestamp.FromNanoseconds(entry.t_ns)
            writer.add_message(sound, entry.t_ns, message.SerializeToString(), entry.t_ns)
    whole = out.getvalue()
    return whole[8 + 9 + int.from_bytes(whole[9:17], "little") :]


def _replayed(folder: Path, data: bytes) -> str:
    path = folder / "recording.mcap"
    path.write_bytes(data)
    return in_process("replay", path, "--fast", "--no-voice")


def _read(data: bytes) -> str:
    """How many entries of each kind there are, and how it ended."""
    found: list[str] = []
    told: list[str] = []
    try:
        for entry in read_entries(io.BytesIO(data), "FILE", tell=lambda form, *words: told.append(form % words)):
            found += [] if isinstance(entry, dict) else [type(entry).__name__]
        ended = "whole"
    except CutOffError:
        ended = "cut off"
    except GlassesError as error:
        ended = f"refused: {error}"
    counts = {kind: found.count(kind) for kind in dict.fromkeys(found)}
    return f"{counts}; {ended}; {' '.join(told)}"


def _chunked(compression: str, pack: Callable[[bytes], bytes], **options: int) -> str:
    inside = _plain(_sensed()[:101])
    return _read(_as_chunk(inside, compression, pack(inside), **options))


def _streamed(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


def _frames(data: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    return b"".join(pack(data[at : at + 9_000]) for at in range(0, len(data), 9_000))


def _written(topic: str, encoding: str, data: bytes, schema: str = "") -> str:
    """A file of another writer with one message."""
    out = io.BytesIO()
    writer = Writer(out)
    writer.start()
    number = writer.register_schema(schema, encoding, b"") if schema else 0
    writer.add_message(writer.register_channel(topic, encoding, number), 5, data, 5)
    writer.finish()
    return _read(out.getvalue())


def _sound(**claims: int | str) -> bytes:
    said = {"data": bytes(640), "format": "pcm-s16", "sample_rate": 16_000, "number_of_channels": 1}
    return RawAudio(**{**said, **claims}).SerializeToString()  # type: ignore[arg-type] - the stub wants each by name


def _cut(share: float, pack: Callable[[bytes], bytes], compression: str) -> str:
    inside = _plain(_sensed()[:101])
    data = _as_chunk(inside, compression, pack(inside))
    return _read(data[: int(len(data) * share)])


def _bomb() -> str:
    return _read(_as_chunk(b"", "zstd", zstandard.compress(bytes(256 << 20)), claims=1000))


def _replayed_streamed(folder: Path) -> str:
    inside = _plain()
    return _replayed(folder, _as_chunk(inside, "zstd", _streamed(inside)))


def _with_zeros(from_share: float, to_share: float) -> str:
    """Our own file, in which a part is zeros, as after a loss of power."""
    data = _ours([replace(one, t_ns=one.t_ns + n * 10 * NS_PER_S) for n in range(5) for one in _sensed()])
    begin, end = (round(len(data) * share) for share in (from_share, to_share))
    return _read(data[:begin] + bytes(end - begin) + data[end:])


def _replayed_stereo(folder: Path) -> str:
    """The question at 48 kHz, one channel wired the other way round."""
    pcm = soxr.resample(np.concatenate([read_audio(FRANCE), np.zeros(48_000, np.float32)]), 16_000, 48_000)
    both = np.round(np.stack([pcm, -pcm], axis=1) * 32767).astype("<i2")
    out = io.BytesIO()
    writer = SegmentWriter(out, _SESSION)
    writer.write(Button(0, "tap"))
    for at in range(0, len(both), 1024):
        t_ns = at * NS_PER_S // 48_000
        stamp = Timestamp(seconds=t_ns // NS_PER_S, nanos=t_ns % NS_PER_S)
        data = both[at : at + 1024].tobytes()
        sound = RawAudio(timestamp=stamp, data=data, format="pcm-s16", sample_rate=48_000, number_of_channels=2)
        writer.copy(RawEntry("/microphone", t_ns, sound.SerializeToString()))
    writer.finish()
    return _replayed(folder, out.getvalue())


def _case(name: str, right: str, came: Callable[[], str], *, is_listed: bool = False) -> Case:
    return Case(17, name, right, lambda _: came(), is_listed=is_listed)


_ALL = r"^\{'Button': 1, 'AudioChunk': 100\}; whole"
_PART = r"^\{'Button': 1, 'AudioChunk': [1-9]\d?\}; cut off"
CASES = [
    Case(17, "mcap-zstd-streamed", "The capital of France is Paris", _replayed_streamed, is_listed=True),
    _case(
        "mcap-brotli", "refused: FILE: a chunk is compressed with 'br'", lambda: _chunked("br", bytes), is_listed=True
    ),
    _case(
        "mcap-microphone-as-json",
        "refused: FILE: /microphone is written as json",
        lambda: _written("/microphone", "json", b'{"rate":16000}'),
        is_listed=True,
    ),
    _case(
        "mcap-stereo-claimed",
        "^\\{\\}; whole",  # five milliseconds
        lambda: _written("/microphone", "protobuf", _sound(number_of_channels=2), "foxglove.RawAudio"),
        is_listed=True,
    ),
    Case(17, "mcap-ours", "The capital of France is Paris", lambda folder: _replayed(folder, _ours())),
    _case("mcap-zstd-frames", _ALL, lambda: _chunked("zstd", lambda data: _frames(data, _streamed))),
    _case("mcap-zstd-of-known-size", _ALL, lambda: _chunked("zstd", zstandard.compress)),
    _case("mcap-lz4", _ALL, lambda: _chunked("lz4", lz4.frame.compress)),
    _case("mcap-lz4-frames", _ALL, lambda: _chunked("lz4", lambda data: _frames(data, lz4.frame.compress))),
    _case("mcap-size-not-said", _ALL, lambda: _chunked("zstd", _streamed, claims=0)),
    _case("mcap-size-too-large", "refused.*claims", lambda: _chunked("zstd", _streamed, claims=1 << 62)),
    _case("mcap-bomb", "refused: .*holds over 33,554,432 bytes", _bomb),
    _case("mcap-cut-in-a-plain-chunk", _PART, lambda: _cut(0.5, bytes, "")),
    _case("mcap-cut-in-a-zstd-chunk", _PART, lambda: _cut(0.9, lambda data: _frames(data, _streamed), "zstd")),
    _case("mcap-cut-in-an-lz4-chunk", _PART, lambda: _cut(0.9, lambda data: _frames(data, lz4.frame.compress), "lz4")),
    _case("mcap-hole", r"'AudioChunk': .*whole; FILE: \d+\.\d s are missing", lambda: _with_zeros(0.4, 0.45)),
    _case("mcap-tail-of-zeros", r"'AudioChunk': .*cut off; $", lambda: _with_zeros(0.6, 1)),
    Case(17, "mcap-stereo-antiphase-48-khz", "The capital of France is Paris", _replayed_stereo),
    _case(
        "mcap-64-channels",
        "refused: FILE: /microphone has sound of 64 channels",
        lambda: _written("/microphone", "protobuf", _sound(number_of_channels=64), "foxglove.RawAudio"),
    ),
    _case(
        "mcap-float-sound", "refused.*'pcm-f32'", lambda: _written("/microphone", "protobuf", _sound(format="pcm-f32"))
    ),
    _case("mcap-anothers-touch", "whole; FILE: /touch is another", lambda: _written("/touch", "json", b"{}", "Touch")),
    _case("mcap-ros-camera", "is written as cdr", lambda: _written("/camera", "cdr", b"", "sensor_msgs/msg/Image")),
    _case(
        "mcap-camera-as-png",
        "'Frame': 1.*whole",
        lambda: _written("/camera", "protobuf", CompressedImage(data=_png(), format="png").SerializeToString()),
    ),
]


def _png() -> bytes:
    import cv2  # noqa: PLC0415  # of this case alone

    return cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()
