"""What other agents may do with the running glasses: as far as the wearer allows, and never without a word to them."""

from __future__ import annotations

import io
import logging
import re
import threading
import time
import wave
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import cv2
import numpy as np

from glasses.assistant.agent_messages import MAX_LISTEN_S, MAX_TEXT, AgentAnswer, AgentRequest
from glasses.assistant.observers import Handlers
from glasses.errors import GlassesError, InputError, Reason, SensorError
from glasses.events import ShowText
from glasses.tools.builtin.notes import recall
from glasses.tools.mcp.config import McpAllow
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import AudioChunk, Frame

log = logging.getLogger(__name__)
PICTURE_S = 5.0  # for a picture to come; a camera that was closed takes 1 to 3 s
SOUND_S = 2.0  # for sound to come beyond what was asked for
MAX_SIDE = 1280  # pixels of a picture that leaves
PER_MINUTE = 30  # accesses of all agents together: more is a program that runs wild
_UNKNOWN = "an agent"


class Worn(Protocol):
    """What of the assistant this needs."""

    @property
    def muted(self) -> bool:
        """Whether microphone and camera are closed."""
        ...

    def look(self) -> None:
        """Asks the camera for a picture now."""
        ...

    def say(self, text: str) -> None:
        """Says it at the next polite moment."""
        ...

    def publish(self, event: object) -> None:
        """Tells the observers."""
        ...


class AgentAccess:
    """Does what agents ask; an observer of pictures and sound, which it keeps only while an agent waits for them.

    Any thread may call `answer`.
    """

    name = "agents"

    def __init__(self, worn: Worn, allow: McpAllow, store: ToolStore, *, note: Callable[[str], None]) -> None:
        """`note` tells the wearer of each access, before it happens."""
        self._worn, self._allow, self._store, self._note = worn, allow, store, note
        self._changed = threading.Condition()
        self._waits_for_picture = self._n_listening = 0
        self._picture: Frame | None = None
        self._sound: deque[AudioChunk] = deque(maxlen=round(4 * MAX_LISTEN_S * 50))
        self._recent: deque[float] = deque(maxlen=PER_MINUTE)

    @property
    def handlers(self) -> Handlers:
        """Only what the wearer allows: the rest never comes here."""
        wanted: Handlers = {}
        if self._allow.look:
            wanted |= {Frame: self._on_frame}
        if self._allow.listen:
            wanted |= {AudioChunk: self._on_sound}
        return wanted

    def answer(self, request: AgentRequest) -> AgentAnswer:
        """What comes of it; an error is an answer too."""
        try:
            return self._answer(request)
        except GlassesError as error:
            return AgentAnswer(error=str(error), reason=error.reason)

    def _answer(self, request: AgentRequest) -> AgentAnswer:
        who = re.sub(r"[^\w .-]", "", request.agent)[:40].strip() or _UNKNOWN
        if not getattr(self._allow, request.act):
            raise InputError(
                Reason.REFUSED,
                f"the wearer does not let agents {request.act}: [mcp.allow] {request.act} = true in config.toml does",
            )
        if self._worn.muted and request.act in ("look", "listen"):
            raise InputError(Reason.REFUSED, "the glasses are muted: microphone and camera are closed")
        self._count()
        match request.act:
            case "look":
                return self._look(who)
            case "listen":
                return self._listen(who, request.seconds)
            case "say":
                self._note(f"{who} says something")
                self._worn.say(f"{who}: {_text(request)}")
            case "show":
                self._note(f"{who} shows: {_text(request)}")
                self._worn.publish(ShowText(time.monotonic_ns(), f"{who}: {_text(request)}"))
            case "recall":
                self._note(f"{who} reads your notes{f' about {request.text[:80]}' if request.text else ''}")
                told = recall.call(ToolContext(datetime.now, self._store), {"about": request.text[:MAX_TEXT]})
                return AgentAnswer(text=told)
        return AgentAnswer(text="done")

    def _count(self) -> None:
        with self._changed:
            now_s = time.monotonic()
            if len(self._recent) == PER_MINUTE and now_s - self._recent[0] < 60:
                raise InputError(Reason.BUSY, f"agents may do {PER_MINUTE} things a minute: try again later")
            self._recent.append(now_s)

    def _look(self, who: str) -> AgentAnswer:
        self._tell(f"{who} looks through your camera")
        since_ns = time.monotonic_ns()
        with self._changed:
            self._waits_for_picture += 1
            try:
                self._worn.look()
                came = self._changed.wait_for(lambda: self._picture and self._picture.t_ns >= since_ns, PICTURE_S)
                picture = self._picture
            finally:
                self._waits_for_picture -= 1
                if not self._waits_for_picture:
                    self._picture = None
        if not came or picture is None:
            raise SensorError(Reason.NOT_FOUND, "no picture came: is there a camera? (glasses run --camera)")
        return AgentAnswer(data=_jpeg(picture), media_type="image/jpeg")

    def _listen(self, who: str, seconds: float) -> AgentAnswer:
        if not 0.1 <= seconds <= MAX_LISTEN_S:
            raise InputError(Reason.BAD_INPUT, f"listen from 0.1 to {MAX_LISTEN_S:g} seconds")
        self._tell(f"{who} listens for {seconds:.2g} seconds")
        since_ns = time.monotonic_ns()

        def heard() -> list[AudioChunk]:
            return [one for one in self._sound if one.t_ns >= since_ns]

        with self._changed:
            self._n_listening += 1
            try:
                self._changed.wait_for(lambda: _seconds(heard()) >= seconds, seconds + SOUND_S)
                chunks = heard()
            finally:
                self._n_listening -= 1
                if not self._n_listening:
                    self._sound.clear()
        if self._worn.muted:
            raise InputError(Reason.REFUSED, "the glasses were muted meanwhile")
        if not chunks:
            raise SensorError(Reason.NOT_FOUND, "no sound came: is there a microphone?")
        return AgentAnswer(data=_wav(chunks, seconds), media_type="audio/wav")

    def _tell(self, sentence: str) -> None:
        """The wearer is told on the HUD as well, where there is one."""
        self._note(sentence)
        self._worn.publish(ShowText(time.monotonic_ns(), sentence))

    def _on_frame(self, frame: Frame) -> None:
        with self._changed:
            if self._waits_for_picture:
                self._picture = frame
                self._changed.notify_all()

    def _on_sound(self, chunk: AudioChunk) -> None:
        with self._changed:
            if self._n_listening:
                self._sound.append(chunk)
                self._changed.notify_all()


def _text(request: AgentRequest) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in request.text).split())
    if not text:
        raise InputError(Reason.BAD_INPUT, f"nothing to {request.act}")
    if len(text) > MAX_TEXT:
        raise InputError(Reason.TOO_LARGE, f"over {MAX_TEXT} characters: shorten it")
    return text


def _jpeg(frame: Frame) -> bytes:
    rgb = frame.rgb
    scale = MAX_SIDE / max(rgb.shape[:2])
    if scale < 1:
        size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _seconds(chunks: list[AudioChunk]) -> float:
    return sum(len(one.pcm) / one.rate_hz for one in chunks)


def _wav(chunks: list[AudioChunk], seconds: float) -> bytes:
    """Their first `seconds`; what a device lost in between is not there."""
    rate_hz = chunks[0].rate_hz
    pcm = np.concatenate([one.pcm for one in chunks])[: round(seconds * rate_hz)]
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())
    return written.getvalue()
