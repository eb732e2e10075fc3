"""The modalities: one entry for each kind of latents that a turn can carry.

To add a modality, write its encoder (`glasses/encoders/`), describe its connector in a manifest, name both in a bundle
as `NAME_encoder` and `NAME_connector`, and add an entry here. Opening bundles, assembling prompts, the latent memory
and the service take what they need from the entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.encoders.text import TextEncoder
from glasses.encoders.things import ThingEncoder
from glasses.errors import InputError, Reason
from glasses.memory.policy import MemoryPolicy
from glasses.types import Latents, Modality


class Encoder(Protocol):
    """What all encoders have in common."""

    space: str

    def encode(self, window: Any, t_ns: int = 0, /) -> Latents:
        """Latents of one window (sound, a picture ...) that begins at `t_ns`."""
        ...


# Where the rows of a modality stand in the prompt of a turn:
#   request:   words. Where some were said they are the question, and none is added.
#   companion: what else is heard in a window of sound, given right after the request of the same window. Its rows are
#              dropped beside spoken words, unless the request is typed: then both are what it is about.
#   subject:   something to ask about; its rows stand where it was given.
Placement = Literal["request", "companion", "subject"]


@dataclass(frozen=True, slots=True)
class ModalityEntry:
    """What the runtime has to know of a modality.

    `open_encoder(path, n_threads=)` opens the encoder; it gets a path for each of `encoder_files`, the roles of the
    files in its manifest. `encodes_sound`: it reads windows of float32 sound at 16 kHz,
    so every window of sound gives latents of this modality; `encodes_pictures`: the same of pictures
    (height, width, 3). `default_question` is asked where a turn brings these
    latents and no words.
    """

    open_encoder: Callable[..., Encoder]
    encodes_sound: bool
    placement: Placement
    memory: MemoryPolicy
    default_question: str
    encodes_pictures: bool = False
    encoder_files: tuple[str, ...] = ("",)


_ABOUT_SOUND = "What is this sound?"
# Where a turn brings several, the first of them here gives the question. Connectors are trained with these questions.
MODALITIES: dict[Modality, ModalityEntry] = {
    "things": ModalityEntry(ThingEncoder, False, "subject", MemoryPolicy(), "What is in view?", encodes_pictures=True),
    "image": ModalityEntry(
        ImageEncoder,
        False,
        "subject",
        MemoryPolicy("views", "thinned", "picture"),
        "What is in view?",
        encodes_pictures=True,
    ),
    "text": ModalityEntry(
        TextEncoder,
        False,
        "subject",
        MemoryPolicy(),
        "What does it say?",
        encodes_pictures=True,
        encoder_files=("detector", "recognizer"),
    ),
    "audio": ModalityEntry(AudioEncoder, True, "request", MemoryPolicy(), _ABOUT_SOUND),
    "sound": ModalityEntry(SoundEncoder, True, "companion", MemoryPolicy("sounds", "pooled", "sound"), _ABOUT_SOUND),
}


def memory_policies() -> dict[Modality, MemoryPolicy]:
    """The memory's part of each entry."""
    return {name: entry.memory for name, entry in MODALITIES.items()}


def entry_of(modality: Modality) -> ModalityEntry:
    """The entry of a modality. Raises InputError(BAD_INPUT) for one that there is none of."""
    if modality not in MODALITIES:
        raise InputError(Reason.BAD_INPUT, f"no modality {modality!r}; known: {', '.join(MODALITIES)}")
    return MODALITIES[modality]


def question_about(modalities: frozenset[Modality]) -> str:
    """What to ask where a turn brought latents of these modalities and no words."""
    questions = {name: entry.default_question for name, entry in MODALITIES.items()}
    return next((text for name, text in questions.items() if name in modalities), questions["sound"])
