"""What is recorded, entry by entry: sensors, what else the ear is told, decisions, answers; and each as bytes.

Sound and pictures are Foxglove's own messages (RawAudio, CompressedImage in protobuf), everything else is JSON. Knows
no file, no thread and no model.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

import cv2
import numpy as np
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image, UnidentifiedImageError

from glasses.audio.media import MAX_PIXELS
from glasses.errors import InputError, Reason
from glasses.events import ReplyState, TurnCompleted, TurnSignal
from glasses.types import (
    NS_PER_S,
    AudioChunk,
    Button,
    DeviceChange,
    DeviceState,
    Frame,
    GateWord,
    Latents,
    OwnVoice,
    Press,
    ReplyWord,
    SensorEvent,
    Wiped,
    frozen,
)

_JPEG = (  # colour at full resolution: an answer about a picture should not hang on how it was kept
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
TOPICS = (
    *("/microphone", "/camera", "/touch", "/latents", "/decision", "/answer"),
    *("/gate", "/reply", "/own_voice", "/devices", "/wiped"),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A turn that the gates decided on; `parts` are (modality, t_ns, duration_ns, rows), ("text", 0, 0, length)."""

    t_ns: int
    turn_id: int
    cause: str
    touched_ns: int
    end_ns: int
    spoken_ns: tuple[int, int] | None
    parts: tuple[tuple[str, int, int, int], ...]
    wish: str = ""  # what it asked of the memory


@dataclass(frozen=True, slots=True)
class Answered:
    """What a turn was answered, and the ms from the end of speech to the first sound (or text), stage by stage.

    `t_ns` is the decision's; `outcome` as reply.Reply's, and of an interrupted reply `n_heard` tokens were heard.
    """

    t_ns: int
    turn_id: int
    text: str
    wait_ms: dict[str, float]
    outcome: str = "said"
    n_heard: int = 0


# Beside what sensors give: what else the ear is told, and what it tells the mouth (Told).
Entry = SensorEvent | Latents | Decision | Answered | TurnSignal | ReplyState | OwnVoice | DeviceChange | Wiped


def decision_of(ended: TurnCompleted) -> Decision:
    """What is recorded of a turn."""
    turn, span = ended.turn, ended.span
    parts = tuple(
        ("text", 0, 0, len(p)) if isinstance(p, str) else (p.modality, p.t_ns, p.duration_ns, len(p.data))
        for p in turn.inputs
    )
    found = (span.decided_ns, turn.id, turn.cause, span.touched_ns, span.end_ns, span.spoken_ns, parts)
    return Decision(*found, ended.wish)


_TOPIC_OF: dict[type, str] = {
    **{Button: "/touch", Decision: "/decision", Answered: "/answer"},
    **{TurnSignal: "/gate", ReplyState: "/reply", OwnVoice: "/own_voice", DeviceChange: "/devices", Wiped: "/wiped"},
}


def encode(entry: Entry) -> tuple[str, bytes]:
    """Its topic and its bytes. Raises InputError(BAD_INPUT) for a picture that cannot be kept."""
    if isinstance(entry, AudioChunk):
        pcm = entry.pcm.astype("<i2", copy=False).tobytes()
        stamp = _stamp(entry.t_ns)
        audio = RawAudio(timestamp=stamp, data=pcm, format="pcm-s16", sample_rate=entry.rate_hz, number_of_channels=1)
        return "/microphone", audio.SerializeToString()
    if isinstance(entry, Frame):
        try:
            ok, jpeg = cv2.imencode(".jpg", entry.rgb[:, :, ::-1], _JPEG)
        except (cv2.error, IndexError) as error:
            raise InputError(Reason.BAD_INPUT, f"a picture of shape {entry.rgb.shape} is no picture") from error
        if not ok:
            raise InputError(Reason.BAD_INPUT, f"a picture of shape {entry.rgb.shape} cannot be encoded as JPEG")
        image = CompressedImage(timestamp=_stamp(entry.t_ns), frame_id="camera", data=jpeg.tobytes(), format="jpeg")
        return "/camera", image.SerializeToString()
    if isinstance(entry, Latents):
        halves = base64.b64encode(entry.data.astype("<f2").tobytes()).decode()
        fields = {name: getattr(entry, name) for name in ("t_ns", "duration_ns", "modality", "space")}
        return "/latents", _json({**fields, "shape": entry.data.shape, "float16": halves})
    return _TOPIC_OF[type(entry)], _json(asdict(entry))


def decode(topic: str, data: bytes) -> Entry:
    """The entry again. Raises DecodeError, KeyError, ValueError, TypeError or IndexError for damaged bytes."""
    if topic == "/microphone":
        audio = RawAudio.FromString(data)
        if audio.format != "pcm-s16" or audio.number_of_channels != 1:
            raise ValueError(f"sound of {audio.number_of_channels} channels as {audio.format!r}")
        pcm = frozen(np.frombuffer(audio.data, "<i2").astype(np.int16))
        return AudioChunk(audio.timestamp.ToNanoseconds(), 0, pcm, audio.sample_rate)
    if topic == "/camera":
        image = CompressedImage.FromString(data)
        return Frame(image.timestamp.ToNanoseconds(), 0, _picture(image.data))
    return _of_table(topic, json.loads(data))


def _of_table(topic: str, table: dict[str, Any]) -> Entry:
    if topic == "/latents":
        values = np.frombuffer(base64.b64decode(table["float16"]), "<f2").astype(np.float32)
        if not isinstance(table["modality"], str):
            raise ValueError(f"latents of a modality {table['modality']!r}")
        rows = frozen(values.reshape(table["shape"]))
        return Latents(int(table["t_ns"]), int(table["duration_ns"]), table["modality"], rows, str(table["space"]))
    if topic == "/touch":
        press = table["press"] if table["press"] in get_args(Press) else "tap"
        return Button(int(table["t_ns"]), press)
    if topic == "/answer":
        return Answered(**{**table, "wait_ms": {str(k): float(v) for k, v in table["wait_ms"].items()}})
    if topic == "/decision":
        spoken, parts = table.pop("spoken_ns"), table.pop("parts")
        return Decision(**table, spoken_ns=(spoken[0], spoken[1]) if spoken else None, parts=tuple(map(tuple, parts)))
    return _told(topic, table)


def _told(topic: str, table: dict[str, Any]) -> Entry:
    t_ns, word = int(table["t_ns"]), table.get("state" if topic == "/devices" else "what")
    known: dict[str, tuple[Any, ...]] = {"/gate": get_args(GateWord), "/reply": get_args(ReplyWord)}
    known["/devices"] = get_args(DeviceState)
    if topic in known and word not in known[topic]:
        raise ValueError(f"an unknown {word!r}")
    if topic == "/gate":
        return TurnSignal(cast(GateWord, word), t_ns, int(table["turn_id"]), bool(table["merged"]))
    if topic == "/reply":
        return ReplyState(t_ns, int(table["turn_id"]), cast(ReplyWord, word))
    if topic == "/devices":
        return DeviceChange(t_ns, cast(DeviceState, word), str(table["why"]))
    return Wiped(t_ns) if topic == "/wiped" else OwnVoice(t_ns, bool(table["on"]))


def _picture(jpeg: bytes) -> Any:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as header:  # reads the size only
            width, height = header.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError("a picture that is no JPEG") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {width} x {height}")
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a picture that cannot be decoded")
    return frozen(np.ascontiguousarray(bgr[:, :, ::-1]))


def _json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()


def _stamp(t_ns: int) -> Timestamp:
    return Timestamp(seconds=t_ns // NS_PER_S, nanos=t_ns % NS_PER_S)
