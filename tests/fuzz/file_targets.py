"""Fuzz targets: sounds, pictures, recordings, configuration and manifests."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import numpy as np
import soundfile
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from mcap.records import Chunk
from mcap.stream_reader import StreamReader, get_chunk_data_stream
from PIL import Image

from glasses.assistant import config_file
from glasses.audio.sound_files import decode_audio
from glasses.media.pictures import decode_image
from glasses.model_store import bundles, manifests
from glasses.recording.channels import SCHEMAS
from glasses.recording.encryption import EncryptedReader, EncryptedWriter
from glasses.recording.entries import TOPICS
from glasses.recording.mcap_file import RawEntry, SegmentWriter, read_entries
from glasses.replay.session import recorded, worn_of
from glasses.system.board import load_board
from glasses.types import AudioChunk, Button, Frame, Latents
from tests.fuzz.json_values import changed
from tests.fuzz.scratch import FOLDER, write
from tests.fuzz.target import Target

_OWNER = X25519PrivateKey.from_private_bytes(bytes(range(32)))
_MAGIC = b"\x89MCAP0\r\n"
_HEAD_BYTES = 8 + 32 + 32 + 16  # of an encrypted file: magic, encapsulated key, file key, tag
_MAX_PIXELS = 1 << 18  # what a small file can make of itself costs time, which the cap of the product allows


def _no_note(_: str) -> None:
    pass


def _sound(data: bytes) -> None:
    decode_audio(data, "sound", max_s=20.0, on_note=_no_note)


def _sound_seeds() -> list[bytes]:
    pcm = (np.sin(np.arange(400) / 3) * 0.3).astype(np.float32)
    kinds = [
        *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"), ("FLAC", "PCM_16")),
        *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("CAF", "PCM_16")),
        *(("AU", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("CAF", "ALAC_16")),
    ]
    out = []
    for container, subtype in kinds:
        file = io.BytesIO()
        soundfile.write(file, pcm, 16_000, format=container, subtype=subtype)
        out.append(file.getvalue())
    return out


def _picture(data: bytes) -> None:
    decode_image(data, "picture", max_pixels=_MAX_PIXELS, on_note=_no_note)


def _picture_seeds() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 4), np.uint8)
    rgba, rgb = Image.fromarray(pixels), Image.fromarray(pixels[:, :, :3].copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    out = [_saved(rgb, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")]
    out += [_saved(rgba, kind) for kind in ("PNG", "WEBP", "TIFF")]
    out += [_saved(rgb, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP")]
    out += [_saved(rgb, "JPEG", progressive=True), _saved(Image.fromarray(pixels[:, :, 0].astype(np.uint16)), "PNG")]
    return out


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _recording(data: bytes) -> None:
    for _ in read_entries(io.BytesIO(data), "recording", tell=lambda *_: None):
        pass


def _entries() -> list[RawEntry]:
    sensed = [
        AudioChunk(5, 0, np.zeros(32, np.int16), 16_000),
        Button(6, "tap"),
        Latents(5, 20, "audio", np.ones((2, 3), np.float32), "space"),
        Frame(7, 0, np.zeros((8, 8, 3), np.uint8)),
    ]
    texts = {
        "/decision": b'{"t_ns":9,"turn_id":1,"cause":"tap","activated_ns":2,"end_ns":8,"spoken_ns":[3,7],"parts":[]}',
        "/answer": b'{"t_ns":9,"turn_id":1,"text":"a","wait_ms":{"silence":5.0},"n_tokens_played":0}',
        "/gate": b'{"event":"turn_started","t_ns":1,"turn_id":1,"continues_turn":false}',
        "/reply": b'{"t_ns":1,"turn_id":1,"state":"audible"}',
        "/own_voice": b'{"t_ns":1,"on":true}',
        "/devices": b'{"t_ns":1,"state":"muted","why":""}',
        "/wiped": b'{"t_ns":1}',
    }
    return [RawEntry.of(one) for one in sensed] + [RawEntry(topic, 9, text) for topic, text in texts.items()]


def _segment() -> bytes:
    out = io.BytesIO()
    writer = SegmentWriter(out, {"activation": "touch"})
    for entry in _entries():
        writer.copy(entry)
    writer.finish()
    return out.getvalue()


def _recording_seeds() -> list[bytes]:
    whole = _segment()
    return [whole, whole[: len(whole) // 2], _plain(whole)]


def _plain(whole: bytes) -> bytes:
    """The same records without a chunk around them."""
    out = whole[:8]
    for record in StreamReader(io.BytesIO(whole), emit_chunks=True).records:
        if isinstance(record, Chunk):
            stream, size = get_chunk_data_stream(record)
            out += stream.read(size)
    return out


def _record(opcode: int, body: bytes) -> bytes:
    return bytes((opcode,)) + len(body).to_bytes(8, "little") + body


def _unpacked(data: bytes) -> None:
    """The input inside of a chunk, so that changes are not hidden behind compression and check-sum."""
    head = bytes(16) + len(data).to_bytes(8, "little") + bytes(4) + (4).to_bytes(4, "little") + b"zstd"
    packed = zstandard.compress(data, 1)
    chunk = head + len(packed).to_bytes(8, "little") + packed
    _recording(_MAGIC + _record(6, chunk) + _record(2, bytes(20)) + _MAGIC)


def _entry(data: bytes) -> None:
    """The first byte says which topic; through the reader, whose errors are what a user sees."""
    topic = TOPICS[data[0] % len(TOPICS)] if data else TOPICS[0]
    encoding = b"protobuf" if topic in SCHEMAS else b"json"
    names = b"".join(len(name).to_bytes(4, "little") + name for name in (topic.encode(), encoding))
    channel = _record(4, b"\1\0" + b"\0\0" + names + bytes(4))
    message = _record(5, b"\1\0" + bytes(4 + 8 + 8) + data[1:])
    _recording(_MAGIC + channel + message + _record(2, bytes(20)) + _MAGIC)


def _entry_values(data: bytes) -> None:
    """JSON entries with odd values; the first byte says which."""
    seeds = [(entry.topic, json.loads(entry.data)) for entry in _entries() if entry.topic not in SCHEMAS]
    topic, value = seeds[data[0] % len(seeds)] if data else seeds[0]
    _entry(bytes((TOPICS.index(topic),)) + json.dumps(changed([value], data)).encode())


def _replay(data: bytes) -> None:
    """A recording of odd values, as far as a replay reads it before it opens any model."""
    entries = [[entry.topic, json.loads(entry.data)] for entry in _entries() if entry.topic not in SCHEMAS]
    about = {"activation": "button", "origin_ns": "0", "memory_minutes": "5", "keep_replies": "yes"}
    value = changed([{"about": about, "entries": entries}], data)
    out = io.BytesIO()
    try:
        writer = SegmentWriter(out, {str(key): str(word) for key, word in value["about"].items()})
        for topic, table in value["entries"]:
            writer.copy(RawEntry(topic, 1, json.dumps(table).encode()))
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # no file can be made of it
    writer.finish()
    path = write("replay.mcap", out.getvalue())
    recorded(path, tell=lambda *_: None)
    worn_of(path)


def _entry_seeds() -> list[bytes]:
    return [bytes((TOPICS.index(entry.topic),)) + entry.data for entry in _entries()]


@functools.cache
def _sealed() -> bytes:
    """An encrypted file of one frame."""
    out = io.BytesIO()
    writer = EncryptedWriter(out, _OWNER.public_key())
    writer.write(b"content")
    writer.finish()
    return out.getvalue()


def _encrypted(data: bytes) -> None:
    """As it is, or as the frames behind a good head."""
    given = data[1:] if data[:1] == b"\0" else _sealed()[:_HEAD_BYTES] + data[1:]
    EncryptedReader(io.BytesIO(given), _OWNER, "recording").read()


def _encrypted_seeds() -> list[bytes]:
    return [b"\0" + _sealed(), b"\1" + _sealed()[_HEAD_BYTES:]]


def _config(data: bytes) -> None:
    folder = FOLDER / "config"
    folder.mkdir(exist_ok=True)
    (folder / config_file.FILE_NAME).write_bytes(data)
    config_file.load_config(environ={"GLASSES_CONFIG_DIRS": str(folder), "XDG_CONFIG_HOME": str(FOLDER / "none")})


def _config_seeds() -> list[bytes]:
    return [
        b'activation = "button"\nbundle = "pocket"\nmuted = true\n[memory]\nminutes = 5.0\n[camera]\nsource = 0\n',
        b'[recording]\nenabled = true\nfolder = "~/r"\nmax_hours = 2\n[dashboard]\nlisten = "127.0.0.1:8766"\n',
    ]


def _board(data: bytes) -> None:
    folder = FOLDER / "boards"
    folder.mkdir(exist_ok=True)
    (folder / "one.toml").write_bytes(data)
    load_board("one", folder)


def _board_seeds() -> list[bytes]:
    return [Path(f"hardware/boards/{name}.toml").read_bytes() for name in ("desktop", "frame")]


def _manifest(data: bytes) -> None:
    manifests.read_manifest(write("one.toml", data), "one")


def _manifest_seeds() -> list[bytes]:
    paths = sorted(manifests.MANIFESTS.glob("*.toml"), key=lambda path: path.stat().st_size)[:6]
    whole = [path.read_bytes().replace(f'"{path.stem}"'.encode(), b'"one"') for path in paths]
    keys = b'name = "one"\nrole = "vad"\nlicence = "MIT"\nupstream = ""\n'
    file = b'{ name = "a", size_bytes = 1, sha256 = "%s", sources = %s }'
    lists = (b'["files", 1, [], {}]', b"[%s]" % (file % (b"0" * 64, b'["hf:a", 1, [[]]]')), b"{}", b"1")
    return whole + [keys + b"files = " + one for one in lists]


def _bundle(data: bytes) -> None:
    bundles.read_bundle(write("bundle.toml", data), "one")


def _bundle_seeds() -> list[bytes]:
    return [path.read_bytes().replace(f'"{path.stem}"'.encode(), b'"one"') for path in bundles.BUNDLES.glob("*.toml")]


TARGETS = {
    "sound": Target(_sound, _sound_seeds),
    "picture": Target(_picture, _picture_seeds),
    "recording": Target(_recording, _recording_seeds, max_bytes=8192),
    "recording-chunk": Target(_unpacked, lambda: [_plain(_segment())[8:]], max_bytes=8192),
    "recording-entry": Target(_entry, _entry_seeds),
    "recording-values": Target(_entry_values, lambda: [bytes((n,)) for n in range(9)], max_bytes=32),
    "recording-replay": Target(_replay, lambda: [bytes(n) for n in range(2)], max_bytes=32),
    "recording-encrypted": Target(_encrypted, _encrypted_seeds),
    "config": Target(_config, _config_seeds),
    "board": Target(_board, _board_seeds),
    "manifest": Target(_manifest, _manifest_seeds),
    "bundle": Target(_bundle, _bundle_seeds),
}
