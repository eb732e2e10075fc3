"""Opens the bundle's classifier heads and speaker encoder, and the wake word that was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from glasses.encoders.speaker import SpeakerEncoder
from glasses.errors import InputError, ModelError, Reason
from glasses.events import MemoryIntent
from glasses.heads.addressee import AddresseeHead
from glasses.heads.end_of_turn import EndOfTurnHead
from glasses.heads.linear import Head
from glasses.heads.linear import load as load_head
from glasses.heads.memory_intent import NAMES, MemoryIntentHead
from glasses.heads.wake_word import EncodedOnce, WakeWordDetector, WakeWords
from glasses.heads.wake_word import load as load_wake
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle
from glasses.tools.arguments import ArgumentReader
from glasses.tools.choice import ToolChooser

DEFAULT_WAKE_WORD = "wake"


def open_end_of_turn(loaded: LoadedBundle) -> EndOfTurnHead | None:
    """The bundle's end-of-turn head, None where it has none. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE."""
    name = loaded.bundle.end_of_turn
    return None if name is None else EndOfTurnHead(load_head(store.path_of(name)), loaded.audio_encoder.space)


def open_addressee(loaded: LoadedBundle) -> AddresseeHead | None:
    """The bundle's addressee head (does this speech ask for something?), None where it has none.

    Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE.
    """
    name = loaded.bundle.addressee
    return None if name is None else AddresseeHead(load_head(store.path_of(name)), loaded.audio_encoder.space)


def open_speaker(loaded: LoadedBundle) -> SpeakerEncoder | None:
    """The bundle's speaker encoder (whose voice?), None where it has none. Raises ModelError: NOT_FOUND, CORRUPT."""
    name = loaded.bundle.speaker
    return None if name is None else SpeakerEncoder(store.path_of(name))


def open_memory_intent(loaded: LoadedBundle) -> MemoryIntentHead | None:
    """The bundle's memory-intent heads, None where it has none. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE."""
    name = loaded.bundle.memory_intent
    if name is None:
        return None
    paths = store.paths_of(store.load_manifest(name))
    if missing := [intent for intent in NAMES if intent not in paths]:
        raise ModelError(Reason.BAD_INPUT, f"models/manifests/{name}.toml: files: no role {', '.join(missing)}")
    heads: dict[MemoryIntent, Head] = {intent: load_head(paths[intent]) for intent in NAMES}
    return MemoryIntentHead(heads, loaded.backbone.sha256[:16])


def open_tool_chooser(loaded: LoadedBundle, kept: Path | None = None) -> ToolChooser | None:
    """What chooses a tool for a turn, None where the bundle has nothing that does. `kept` is the file for the rows of
    tools that are trained on this device. Raises ModelError: NOT_FOUND, CORRUPT, TOO_LARGE, WRONG_SPACE.
    """
    name = loaded.bundle.tool_choice
    return None if name is None else ToolChooser(loaded.backbone, store.path_of(name), kept)


def open_argument_reader(loaded: LoadedBundle) -> ArgumentReader:
    """What finds the arguments of tools in a turn; where the bundle has no heads for it, those that their readers
    recognize. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE.
    """
    name = loaded.bundle.tool_arguments
    return ArgumentReader(loaded.backbone, None if name is None else store.path_of(name))


def wake_word_path(name: str = DEFAULT_WAKE_WORD) -> Path:
    """Where `glasses wake-word train --name NAME` keeps the phrase. Raises InputError(BAD_INPUT) for no such name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", name):
        raise InputError(Reason.BAD_INPUT, f"{name!r} is no name of a wake word: small letters, digits, - and _")
    return store.cache_dir() / "taught" / f"{name}.npz"


def open_wake_words(loaded: LoadedBundle, names: Mapping[str, str]) -> WakeWords:
    """The wake phrases `names` that were trained, by whom each calls.

    Raises ModelError: NOT_FOUND (one was not), CORRUPT, WRONG_SPACE; InputError as `wake_word_path`.
    """
    encoder = loaded.audio_encoder
    encode = EncodedOnce(encoder.encode)  # phrases of one length look at the same sound
    heads = {whom: load_wake(wake_word_path(name)) for whom, name in names.items()}
    return WakeWords({whom: WakeWordDetector(head, encode, encoder.space) for whom, head in heads.items()})
