"""The configuration of `glasses run`: one frozen dataclass. config_file.py reads it from TOML files.

A field's name, with its section before it, is its key in the files: `memory.minutes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from glasses.memory.latent_memory import TIERS
from glasses.model_store.store import AUTO_BUNDLE
from glasses.system.board import DEFAULT_BOARD
from glasses.tools.mcp.config import McpConfig

Activation = Literal["button", "wake-word", "request", "speech"]
ACTIVATIONS: tuple[Activation, ...] = ("button", "wake-word", "request", "speech")
# Follow-ups come within seconds, a return to a matter within minutes; what is asked later is mostly about something
# else, which a small backbone answers worse behind turns that have nothing to do with it.
DEFAULT_CONVERSATION_MIN = 5.0
MAX_MEMORY_MIN = TIERS[-1].until_s / 60
FORMER_ACTIVATIONS: dict[str, Activation] = {"touch": "button", "wake": "wake-word"}  # in older recordings and options


def activation_of(name: str) -> str:
    """The activation of today's name or of a former one; another name as it is."""
    return FORMER_ACTIVATIONS.get(name, name)


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """`microphone` and `speaker`: a part of the device's name, None for the system's choice; `voice`: speak replies."""

    microphone: str | None = None
    speaker: str | None = None
    voice: bool = True


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """`source`: a number, a path, "csi" or a video file; None for no camera. `pictures`: where they are saved."""

    source: str | None = None
    pictures: Path | None = None  # None: folders.pictures_folder()


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """`minutes` of latents are remembered, 0 for none; `keep_replies`: the last replies as text, to repeat them."""

    minutes: float = MAX_MEMORY_MIN
    keep_replies: bool = False


@dataclass(frozen=True, slots=True)
class ConversationConfig:
    """After so many `minutes` without a turn the conversation is forgotten; with 0 every turn stands alone."""

    minutes: float = DEFAULT_CONVERSATION_MIN


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """Recordings older than `max_hours` are deleted, and the oldest beyond `max_mb`; `encrypt_to` is a public key."""

    enabled: bool = False
    folder: Path | None = None  # None: recording.folder.default_folder()
    max_hours: float = 24.0
    max_mb: float = 2048.0
    encrypt_to: Path | None = None


@dataclass(frozen=True, slots=True)
class DashboardConfig:
    """`listen`: HOST:PORT of the page."""

    enabled: bool = False
    listen: str = "127.0.0.1:8766"

    def host_and_port(self) -> tuple[str, int]:
        """`listen` in two; config_file.py has checked it."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class AppsConfig:
    """`enabled`: this user's programs may use the models, and bring tools, by a socket in the runtime folder; `act`:
    what they ask for in words may be done by the wearer's tools.
    """

    enabled: bool = True
    act: bool = True


@dataclass(frozen=True, slots=True)
class HudConfig:
    """`clear_after_s`: so long after a reply was said its text stays on the HUD."""

    clear_after_s: float = 8.0


@dataclass(frozen=True, slots=True)
class OffloadConfig:
    """`url` of a service to which latents may be sent, None for none; its bearer token and its authority."""

    url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class DocumentsConfig:
    """`folders` whose notes and documents can be asked about."""

    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class AssistantConfig:
    """How `glasses run` runs. `activation` is what starts a turn; `link` the address of glasses over a link;
    `persona` the name of a file of persona.py; `personas` others that may be called by their own wake phrases.
    """

    activation: Activation = "button"
    bundle: str = AUTO_BUNDLE
    board: str = DEFAULT_BOARD
    link: str | None = None
    persona: str | None = None
    personas: tuple[str, ...] = ()
    muted: bool = False
    audio: AudioConfig = field(default_factory=AudioConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    conversation: ConversationConfig = field(default_factory=ConversationConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    dashboard: DashboardConfig = field(default_factory=DashboardConfig)
    apps: AppsConfig = field(default_factory=AppsConfig)
    hud: HudConfig = field(default_factory=HudConfig)
    offload: OffloadConfig = field(default_factory=OffloadConfig)
    mcp: McpConfig = field(default_factory=McpConfig)
    documents: DocumentsConfig = field(default_factory=DocumentsConfig)

    def all_personas(self) -> list[str]:
        """Those that may answer, the first one first; none for the default one alone."""
        return list(dict.fromkeys([*([self.persona] if self.persona else []), *self.personas]))

    def recorded_with(self) -> dict[str, str]:
        """What a recording says of how it was made; a replay needs it."""
        return {
            "board": self.board,
            "bundle": self.bundle,
            "activation": self.activation,
            "memory_minutes": f"{self.memory.minutes:g}",
            "conversation_minutes": f"{self.conversation.minutes:g}",
            "keep_replies": "yes" if self.memory.keep_replies else "no",
        }


NO_MEMORY = AssistantConfig(memory=MemoryConfig(minutes=0))  # all else as built in
