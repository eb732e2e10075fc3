"""What models there are: reads `models/manifests/NAME.toml` and `models/bundles/NAME.toml`, checked once.

Does NOT know where a file lies or how it gets there (store), nor what a model does.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from glasses.data import data_path
from glasses.errors import ModelError, Reason
from glasses.model_store import sources

MANIFESTS = data_path("models/manifests")
BUNDLES = data_path("models/bundles")
MAX_FILE_BYTES = 4 << 30  # no board we aim at can load more
DEFAULT_BUNDLE = "pocket"

Role = Literal[
    "backbone",
    "audio-encoder",
    "sound-encoder",
    "image-encoder",
    "audio-connector",
    "sound-connector",
    "image-connector",
    "voice-gate",
    "voice",
    "reference",
    "source",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # one path component: no separator, no leading dot
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_KEYS = {"name", "size_bytes", "sha256", "sources"}
_MANIFEST_KEYS = {"name", "role", "licence", "upstream", "files"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model; `sources` are tried in order, `sha256` decides."""

    name: str
    size_bytes: int
    sha256: str
    sources: tuple[sources.Source, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model. The first of `files` is the model itself, the others go with it."""

    name: str
    role: Role
    licence: str
    upstream: str
    files: tuple[ModelFile, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The models that go together, by manifest name. Without a `voice` the bundle answers in text only."""

    name: str
    backbone: str
    audio_encoder: str
    audio_words: str
    sound_encoder: str
    sound_connector: str
    image_encoder: str
    image_connector: str
    voice_gate: str
    audio_ambience: str | None = None  # None: whose voice it is, and how it was said, is not told
    turn_end: str | None = None  # None: a timer alone ends a turn
    for_me: str | None = None  # None: whether speech asks for something is not known
    wishes: str | None = None  # None: nothing that is said asks for the memory, a touch does
    voice: str | None = None
    chat_template: str | None = None  # Jinja, instead of the one in the backbone's GGUF

    def models(self) -> tuple[str, ...]:
        """The names of all its models, each once."""
        roles = [getattr(self, field.name) for field in fields(self) if field.name not in ("name", "chat_template")]
        return tuple(dict.fromkeys(name for name in roles if name is not None))


def manifest_names() -> list[str]:
    """The names of all models that have a manifest."""
    return sorted(path.stem for path in MANIFESTS.glob("*.toml"))


def load_manifest(name: str) -> Manifest:
    """Reads `models/manifests/NAME.toml`. Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong."""
    table = _read_toml(MANIFESTS, name, "model")
    where = f"models/manifests/{name}.toml"
    _check_keys(table, _MANIFEST_KEYS, _MANIFEST_KEYS, where)
    if table["role"] not in get_args(Role):
        raise ModelError(Reason.BAD_INPUT, f"{where}: role {table['role']!r} is none of {', '.join(get_args(Role))}")
    files = table["files"]
    if not isinstance(files, list) or not files:
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs at least one [[files]] entry")
    return Manifest(name, table["role"], table["licence"], table["upstream"], tuple(_file(f, where) for f in files))


def load_bundle(name: str = DEFAULT_BUNDLE) -> Bundle:
    """Reads `models/bundles/NAME.toml`. Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong."""
    table = _read_toml(BUNDLES, name, "bundle")
    roles = {field.name for field in fields(Bundle)}
    optional = {"chat_template", "voice", "audio_ambience", "turn_end", "for_me", "wishes"}
    _check_keys(table, roles - optional, roles, f"models/bundles/{name}.toml")
    return Bundle(**table)


def _read_toml(folder: Path, name: str, kind: str) -> dict[str, Any]:
    path = folder / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml"))) or "none"
        raise ModelError(Reason.NOT_FOUND, f"unknown {kind} {name!r}; known: {known}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(Reason.BAD_INPUT, f"{path} is not TOML: {error}") from error
    if table.get("name") != name:
        raise ModelError(Reason.BAD_INPUT, f"{path}: name is {table.get('name')!r}, must be {name!r} as the file name")
    return table


def _check_keys(table: dict[str, Any], needed: set[str], allowed: set[str], where: str) -> None:
    if missing := needed - table.keys():
        raise ModelError(Reason.BAD_INPUT, f"{where}: lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - allowed:
        raise ModelError(Reason.BAD_INPUT, f"{where}: unknown {', '.join(sorted(unknown))}")
    for key, value in table.items():
        if key not in ("files", "sources", "size_bytes") and not isinstance(value, str):
            raise ModelError(Reason.BAD_INPUT, f"{where}: {key} must be a string")


def _file(table: dict[str, Any], where: str) -> ModelFile:
    _check_keys(table, _FILE_KEYS, _FILE_KEYS, where)
    name, size_bytes, sha256, origins = (table[key] for key in ("name", "size_bytes", "sha256", "sources"))
    where = f"{where}: {name}"
    if not _NAME.fullmatch(name) or not _SHA256.fullmatch(sha256):
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs a plain file name and 64 lower-case hex digits of sha256")
    if type(size_bytes) is not int or size_bytes <= 0:
        raise ModelError(Reason.BAD_INPUT, f"{where}: size_bytes must be a positive integer")
    if size_bytes > MAX_FILE_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{where}: {size_bytes:,} bytes are over the cap of {MAX_FILE_BYTES:,}")
    if not isinstance(origins, list) or not origins:
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs at least one source")
    parsed = (sources.parse_pieces(o) if isinstance(o, list) else sources.parse(str(o)) for o in origins)
    return ModelFile(name, size_bytes, sha256, tuple(parsed))
