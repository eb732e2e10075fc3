"""Reads and checks `models/bundles/NAME.toml`: models that go together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from glasses.data import data_path
from glasses.errors import ModelError, Reason
from glasses.model_store import user_bundles
from glasses.model_store.toml_file import NAME, check_keys, known_names, of_user, read_toml, unknown, where_of

log = logging.getLogger(__name__)

BUNDLES = data_path("models/bundles")
DEFAULT_BUNDLE = "pocket"  # of development: quantization, recipes and figures
AUTO_BUNDLE = "auto"  # of the wearer: chosen by what this machine can hold (glasses.runtime.bundle_choice)
_NEEDED_MODALITIES = ("audio", "sound", "image")
# Keys of bundle files as they were called before; each is accepted, with a warning, in this version.
_RENAMED_KEYS = {
    "voice_gate": "vad",
    "turn_end": "end_of_turn",
    "for_me": "addressee",
    "wishes": "memory_intent",
    "audio_words": "audio_connector",
}


@dataclass(frozen=True, slots=True)
class BundleFigures:
    """What was measured of a bundle: resident memory with everything loaded and used, in MB (`glasses bench memory`),
    and the percentage of simple questions that its backbone answers rightly (`glasses bench questions`).
    """

    memory_mb: int
    questions_percent: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """The models that go together, by manifest name. `encoders` and `connectors` are by modality, each with both."""

    name: str
    backbone: str
    encoders: Mapping[str, str]
    connectors: Mapping[str, str]
    vad: str
    audio_ambience: str | None = None  # acoustic context of speech: who speaks, how and where. None: not given
    end_of_turn: str | None = None  # None: a timer alone ends a turn
    addressee: str | None = None  # None: whether speech asks for something is not known
    speaker: str | None = None  # None: a follow-up is judged by the addressee head, not by its voice
    memory_intent: str | None = None  # None: a touch asks for the memory, speech does not
    tool_choice: str | None = None  # None: no turn calls a tool
    tool_arguments: str | None = None  # None: only arguments that their readers recognize are found
    voice: str | None = None  # None: answers are text only
    chat_template: str | None = None  # Jinja, instead of the one in the backbone's GGUF
    history_turns: int | None = None  # how many of the turns before the backbone bears; None: as many as there is room
    figures: BundleFigures | None = None  # None: not measured, as of a bundle that was made here

    def models(self) -> tuple[str, ...]:
        """The names of all its models, each once."""
        pairs = [name for one in self.encoders for name in (self.encoders[one], self.connectors[one])]
        others = [
            getattr(self, key) for key in _OPTIONAL_KEYS if key not in ("chat_template", "history_turns", "figures")
        ]
        return tuple(dict.fromkeys(name for name in (self.backbone, *pairs, self.vad, *others) if name is not None))


_OPTIONAL_KEYS = tuple(field.name for field in fields(Bundle) if field.default is None)


def bundle_names() -> list[str]:
    """The names of all bundles, shipped or made here."""
    return sorted({path.stem for path in BUNDLES.glob("*.toml")} | set(user_bundles.bundle_names()))


def load_bundle(name: str = DEFAULT_BUNDLE) -> Bundle:
    """Reads `models/bundles/NAME.toml`, or a bundle that was made here.

    Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong.
    """
    return read_bundle(_bundle_path(name), name)


def read_bundle(path: Path, name: str) -> Bundle:
    """The bundle in a file, which must be of this name. Raises ModelError: BAD_INPUT, TOO_LARGE."""
    where = where_of(path, BUNDLES, "models/bundles")
    table = _with_new_keys(read_toml(path, name), where)
    figures, n_turns = _figures(table.pop("figures", None), where), table.pop("history_turns", None)
    if n_turns is not None and (type(n_turns) is not int or n_turns < 0):
        raise ModelError(Reason.BAD_INPUT, f"{where}: history_turns must be a whole number, 0 or more")
    modalities = dict.fromkeys([*_NEEDED_MODALITIES, *(key.partition("_")[0] for key in table if _is_part(key))])
    needed = {f"{one}_{what}" for one in modalities for what in ("encoder", "connector")} | {"name", "backbone", "vad"}
    check_keys(table, needed, {*needed, *_OPTIONAL_KEYS}, where)
    encoders, connectors = (
        {one: table.pop(f"{one}_{what}") for one in modalities} for what in ("encoder", "connector")
    )
    return Bundle(encoders=encoders, connectors=connectors, figures=figures, history_turns=n_turns, **table)


def _figures(table: Any, where: str) -> BundleFigures | None:
    if table is None:
        return None
    names = {field.name for field in fields(BundleFigures)}
    if not isinstance(table, dict) or table.keys() != names or not all(type(one) is int for one in table.values()):
        raise ModelError(Reason.BAD_INPUT, f"{where}: [figures] must hold whole numbers: {', '.join(sorted(names))}")
    return BundleFigures(**table)


def _is_part(key: str) -> bool:
    modality, _, what = key.partition("_")
    return bool(modality) and what in ("encoder", "connector")


def _with_new_keys(table: dict[str, Any], where: str) -> dict[str, Any]:
    for old, new in _RENAMED_KEYS.items():
        if old in table and new in table:
            raise ModelError(Reason.BAD_INPUT, f"{where}: {old} and {new} are one key; {new} is its name")
        if old in table:
            log.warning("%s: %s is called %s now; the next version does not know the old name", where, old, new)
    return {_RENAMED_KEYS.get(key, key): value for key, value in table.items()}


def _bundle_path(name: str) -> Path:
    """Raises ModelError(NOT_FOUND)."""
    if NAME.fullmatch(name):
        if (shipped := BUNDLES / f"{name}.toml").is_file():
            return shipped
        made = of_user(lambda: [user_bundles.folder_of(name) / user_bundles.BUNDLE_FILE])
        if made and made[0].is_file():
            return made[0]
    raise unknown("bundle", name, known_names(BUNDLES, bundle_names))
