"""The entries of a recording, and each as bytes: sensor events, what else the listener is given, decisions, answers.

Sound and pictures are Foxglove's own messages (RawAudio, CompressedImage in protobuf), everything else is JSON.
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

from glasses.errors import InputError, Reason
from glasses.events import (
    Announced,
    AnnouncementState,
    Outcome,
    ReplyPhase,
    ReplyState,
    TurnCompleted,
    TurnEvent,
    TurnSignal,
)
from glasses.media.native_output import native_output_to_log
from glasses.media.pictures import MAX_PIXELS, decode_image
from glasses.recording.other_sound import MAX_CHANNELS, RATES_HZ, OtherSound
from glasses.types import (
    NS_PER_S,
    SAMPLE_RATE_HZ,
    AudioChunk,
    Button,
    DeviceChange,
    DeviceState,
    Frame,
    Latents,
    OwnVoice,
    Press,
    SensorEvent,
    Wiped,
    frozen,
)

_JPEG = (  # colour at full resolution: an answer about a picture should not hang on how it was kept
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
# What recordings of version 0.1.0 and before call it, by topic: fields, then values. A recording does not say its
# version: `decode` reads both words in any, `encode` writes the new ones only.
_OLD_FIELDS = {
    "/gate": {"what": "event", "merged": "continues_turn"},
    "/reply": {"what": "state"},
    "/answer": {"n_heard": "n_tokens_played"},
    "/decision": {"touched_ns": "activated_ns", "wish": "memory_intent"},
}
_OLD_PRESSES = {"hold": "long_press", "double": "double_tap"}
_OLD_VALUES = {
    ("/touch", "press"): _OLD_PRESSES,
    ("/gate", "event"): {
        "opened": TurnEvent.TURN_STARTED,
        "resumed": TurnEvent.SPEECH_RESUMED,
        "pause": TurnEvent.BARGE_IN_PENDING,
        "unpause": TurnEvent.BARGE_IN_REJECTED,
        "interrupt": TurnEvent.INTERRUPTED,
        "expire": TurnEvent.TIMED_OUT,
        "pass": TurnEvent.NOT_ADDRESSED,
    },
    ("/reply", "state"): {"over": "finished"},
    ("/devices", "state"): {"gone": "disconnected", "back": "reconnected"},
    ("/answer", "outcome"): {
        "said": Outcome.COMPLETED,
        "merged": Outcome.CONTINUED,
        "expired": Outcome.TIMED_OUT,
    },
    ("/decision", "cause"): {**_OLD_PRESSES, "wake": "wake_word", "barge-in": "barge_in"},
    ("/decision", "memory_intent"): {"again": "repeat"},
}
TOPICS = (
    *("/microphone", "/camera", "/touch", "/latents", "/decision", "/answer"),
    *("/gate", "/reply", "/announced", "/own_voice", "/devices", "/wiped"),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A turn that the gates decided on; `parts` are (modality, t_ns, duration_ns, rows), ("text", 0, 0, length)."""

    t_ns: int
    turn_id: int
    cause: str
    activated_ns: int
    end_ns: int
    spoken_ns: tuple[int, int] | None
    parts: tuple[tuple[str, int, int, int], ...]
    memory_intent: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a turn, and the ms from the end of speech to the first sound (or text), stage by stage.

    `t_ns` is the decision's; of an interrupted reply `n_tokens_played` tokens were heard.
    """

    t_ns: int
    turn_id: int
    text: str
    wait_ms: dict[str, float]
    outcome: Outcome = Outcome.COMPLETED
    n_tokens_played: int = 0


class UnreadableEntry(Exception):  # noqa: N818  # becomes an InputError with the file's name
    """An entry is whole, but of a form that is not read here."""


# Beside sensor events: the other inputs of the listener, and its turn events.
Entry = (
    SensorEvent | Latents | Decision | Answered | TurnSignal | ReplyState | Announced | OwnVoice | DeviceChange | Wiped
)


def decision_of(ended: TurnCompleted) -> Decision:
    """What is recorded of a turn."""
    turn, span = ended.turn, ended.span
    parts = tuple(
        ("text", 0, 0, len(p)) if isinstance(p, str) else (p.modality, p.t_ns, p.duration_ns, len(p.data))
        for p in turn.inputs
    )
    found = (span.decided_ns, turn.id, turn.cause, span.activated_ns, span.end_ns, span.spoken_ns, parts)
    return Decision(*found, ended.memory_intent)


_TOPIC_OF: dict[type, str] = {
    **{Button: "/touch", Decision: "/decision", Answered: "/answer", Announced: "/announced"},
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


def decode(topic: str, data: bytes) -> Entry | OtherSound:
    """The entry again; sound that is not as ours as OtherSound.

    Raises UnreadableEntry, and for damaged bytes DecodeError, KeyError, ValueError, TypeError, IndexError,
    AttributeError or OverflowError.
    """
    if topic == "/microphone":
        audio = RawAudio.FromString(data)
        form = (audio.format, audio.number_of_channels, audio.sample_rate)
        if form[0] != "pcm-s16" or not 1 <= form[1] <= MAX_CHANNELS or form[2] not in RATES_HZ:
            raise UnreadableEntry(
                f"has sound of {form[1]} channels, {form[2]} Hz, as {form[0][:40]!r}; "
                f"read are 1 to {MAX_CHANNELS} channels, {RATES_HZ[0]} to {RATES_HZ[-1]} Hz, as 'pcm-s16'"
            )
        pcm = frozen(np.frombuffer(audio.data, "<i2").astype(np.int16))
        if form[1:] != (1, SAMPLE_RATE_HZ):
            return OtherSound(audio.timestamp.ToNanoseconds(), pcm.reshape(-1, form[1]), audio.sample_rate)
        return AudioChunk(audio.timestamp.ToNanoseconds(), 0, pcm, audio.sample_rate)
    if topic == "/camera":
        image = CompressedImage.FromString(data)
        return Frame(image.timestamp.ToNanoseconds(), 0, _picture(image.data))
    return _of_table(topic, _in_todays_words(topic, json.loads(data)))


def _in_todays_words(topic: str, table: dict[str, Any]) -> dict[str, Any]:
    renamed = _OLD_FIELDS.get(topic, {})
    table = {renamed.get(name, name): value for name, value in table.items()}
    for (of_topic, name), words in _OLD_VALUES.items():
        if of_topic == topic and name in table:
            table[name] = words.get(table[name], table[name])
    return table


def _of_table(topic: str, table: dict[str, Any]) -> Entry:
    if topic == "/latents":
        values = np.frombuffer(base64.b64decode(table["float16"]), "<f2").astype(np.float32)
        rows = frozen(values.reshape(table["shape"]))
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise ValueError(f"latents of shape {rows.shape}, or not finite")
        words = (_text(table["modality"]), rows, _text(table["space"]))
        return Latents(int(table["t_ns"]), int(table["duration_ns"]), *words)
    if topic == "/touch":
        press = table["press"] if table["press"] in get_args(Press) else "tap"
        return Button(int(table["t_ns"]), press)
    if topic == "/answer":
        wait_ms = {str(k): float(v) for k, v in table["wait_ms"].items()}
        outcome = Outcome(table.get("outcome", Outcome.COMPLETED))
        times = (int(table["t_ns"]), int(table["turn_id"]))
        return Answered(*times, _text(table["text"]), wait_ms, outcome, int(table.get("n_tokens_played", 0)))
    if topic == "/decision":
        return _decision(table)
    return _state_change(topic, table)


def _decision(table: dict[str, Any]) -> Decision:
    spoken = table["spoken_ns"]
    spoken_ns = (int(spoken[0]), int(spoken[1])) if spoken else None
    parts = tuple((_text(what), int(t_ns), int(duration_ns), int(n)) for what, t_ns, duration_ns, n in table["parts"])
    t_ns, turn_id, activated_ns, end_ns = (int(table[key]) for key in ("t_ns", "turn_id", "activated_ns", "end_ns"))
    intent = _text(table.get("memory_intent", ""))
    return Decision(t_ns, turn_id, _text(table["cause"]), activated_ns, end_ns, spoken_ns, parts, intent)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def _state_change(topic: str, table: dict[str, Any]) -> Entry:
    t_ns = int(table["t_ns"])
    if topic == "/gate":
        return TurnSignal(TurnEvent(table["event"]), t_ns, int(table["turn_id"]), bool(table["continues_turn"]))
    if topic == "/reply":
        return ReplyState(t_ns, int(table["turn_id"]), cast(ReplyPhase, _one_of(table["state"], ReplyPhase)))
    if topic == "/announced":
        state = cast(AnnouncementState, _one_of(table["state"], AnnouncementState))
        words = (_text(table["kind"]), _text(table["text"]), int(table["number"]))
        return Announced(t_ns, int(table["id"]), *words, state)
    if topic == "/devices":
        return DeviceChange(t_ns, cast(DeviceState, _one_of(table["state"], DeviceState)), str(table["why"]))
    return Wiped(t_ns) if topic == "/wiped" else OwnVoice(t_ns, bool(table["on"]))


def _one_of(word: object, known: Any) -> object:
    if word not in get_args(known):
        raise ValueError(f"an unknown {word!r}")
    return word


def _picture(data: bytes) -> Any:
    """JPEG, as all of ours are, or what another writer's camera gives."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    try:
        return frozen(decode_image(data, "its picture"))
    except InputError as error:
        raise ValueError(str(error)) from error


def _jpeg(jpeg: bytes) -> Any:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as header:  # reads the size only
            width, height = header.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError("a picture that is no JPEG") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {width} x {height}")
    with native_output_to_log():
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a picture that cannot be decoded")
    return frozen(np.ascontiguousarray(bgr[:, :, ::-1]))


def _json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()


def _stamp(t_ns: int) -> Timestamp:
    return Timestamp(seconds=t_ns // NS_PER_S, nanos=t_ns % NS_PER_S)
