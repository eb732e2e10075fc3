"""The values that cross a stage.

Times are `time.monotonic_ns()` of this host. Arrays are made read-only by whoever creates the value
(`frozen`), so that a later stage cannot change what an earlier one remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int16Array = NDArray[np.int16]
UInt8Array = NDArray[np.uint8]
DeviceState = Literal["disconnected", "reconnected", "muted", "unmuted"]
Press = Literal["tap", "long_press", "double_tap"]
Modality = str  # a key of glasses.runtime.modalities.MODALITIES: "audio" (speech), "sound" (other sounds), "image"
_A = TypeVar("_A", bound=NDArray[Any])

SAMPLE_RATE_HZ = 16_000  # of all sound between microphone and encoders: what Whisper, YAMNet and Silero were trained on
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def frozen(array: _A) -> _A:
    """Marks `array` read-only and returns it."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera picture; `t_ns` is the exposure midpoint, `rgb` is uint8 (H, W, 3)."""

    t_ns: int
    seq: int
    rgb: UInt8Array


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono sound; `t_ns` is the first sample's time, `pcm` is int16 (N,)."""

    t_ns: int
    seq: int
    pcm: Int16Array
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Button:
    """The wearer pressed the button or touch pad. A long press means "look at this", a double tap "what was that?"."""

    t_ns: int
    press: Press


SensorEvent = AudioChunk | Frame | Button


@dataclass(frozen=True, slots=True)
class OwnVoice:
    """From `t_ns` on the microphone hears the assistant's own voice; with `on` false it no longer does."""

    t_ns: int
    on: bool


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """An audio or camera device disappeared, came back, or was muted.

    `why` is a message for the user; it names the device unless it is the audio device.
    """

    t_ns: int
    state: DeviceState
    why: str = ""


@dataclass(frozen=True, slots=True)
class Wiped:
    """The memory was told to forget everything, and has; `windows` is how many latents it held, where that is known."""

    t_ns: int
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Latents:
    """An encoder's output for one window: `data` is float32 (T, D), before any connector.

    `space` is "<encoder id>:<first 16 hex digits of the sha256 of its weights>"; a connector refuses
    latents of a space it was not trained on.
    """

    t_ns: int
    duration_ns: int
    modality: Modality
    data: Float32Array
    space: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One request to answer: latents and text in the order they were given.

    `cause` is what started the turn: a Press, "speech", "wake_word" or "barge_in". `persona`: whose wake phrase was
    heard last, "" for nobody's.
    """

    id: int
    t_ns: int
    cause: str
    inputs: tuple[Latents | str, ...]
    deadline_ns: int | None = None
    persona: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. `latent` is the float32 (n_embd,) hidden state where it was asked for.

    `top` holds the k most likely (token_id, logprob) pairs, best first; empty unless asked for.
    """

    turn_id: int
    token_id: int
    text: str
    logprob: float
    latent: Float32Array | None
    last: bool
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Say:
    """Speak `text`."""

    turn_id: int
    expires_ns: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Show:
    """Show `text` on the HUD."""

    turn_id: int
    expires_ns: int | None
    text: str


Action = Say | Show


@dataclass(frozen=True, slots=True)
class Display:
    """A panel of `width` x `height` pixels that shows `colours` colours at a time (2 is a 1-bit panel)."""

    width: int
    height: int
    colours: int

    @property
    def bits(self) -> int:
        """Bits a pixel needs."""
        return (self.colours - 1).bit_length()


Load = Literal["camera", "remote", "backbone"]
