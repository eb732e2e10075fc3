"""Reads and checks `models/manifests/NAME.toml` (a model) and `models/bundles/NAME.toml` (models that go together)."""

from __future__ import annotations

import difflib
import logging
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from glasses.data import data_path
from glasses.errors import InputError, ModelError, Reason
from glasses.model_store import sources, user_bundles

log = logging.getLogger(__name__)

MANIFESTS = data_path("models/manifests")
BUNDLES = data_path("models/bundles")
MAX_FILE_BYTES = 4 << 30  # no board we aim at can load more
MAX_TOML_BYTES = 256 << 10
DEFAULT_BUNDLE = "pocket"

# What a model is. An encoder or connector is named after its modality: "image-encoder", "image-connector".
ROLES = ("backbone", "vad", "end-of-turn", "addressee", "speaker", "memory-intent", "voice", "reference", "source")
_MODALITY_ROLE = re.compile(r"[a-z]+-(encoder|connector)")
_OLD_ROLES = ("voice-gate",)  # of what is now vad, end-of-turn, addressee or memory-intent
# The roles of the files of a connector by its kind, and of other models of several files: those that it must have, then
# those that it may have. A file's role tells what it is; the order of the files tells nothing.
CONNECTOR_FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pooled": (("network",), ()),
    "soft-tokens": (("wording", "network"), ("adapter",)),
    "speech": (("task-prefix", "decoder-begin", "decoder-step", "decoder-weights", "subwords"), ()),
}
_OTHER_FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "memory-intent": (("sound", "picture", "wipe"), ()),
    "voice": (("network", "config"), ()),
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # one path component: no separator, no leading dot
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_KEYS = {"name", "size_bytes", "sha256", "sources"}
_MANIFEST_KEYS = {"name", "role", "licence", "upstream", "files"}
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
class ModelFile:
    """One file of a model; `sources` are tried in order, `sha256` decides. `role` says which file of a model it is."""

    name: str
    size_bytes: int
    sha256: str
    sources: tuple[sources.Source, ...]
    role: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model. `kind` is how a connector works, a key of CONNECTOR_FILES; "" for every other model."""

    name: str
    role: str
    licence: str
    upstream: str
    files: tuple[ModelFile, ...]
    kind: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


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
    voice: str | None = None  # None: answers are text only
    chat_template: str | None = None  # Jinja, instead of the one in the backbone's GGUF

    def models(self) -> tuple[str, ...]:
        """The names of all its models, each once."""
        pairs = [name for one in self.encoders for name in (self.encoders[one], self.connectors[one])]
        others = [getattr(self, key) for key in _OPTIONAL_KEYS if key != "chat_template"]
        return tuple(dict.fromkeys(name for name in (self.backbone, *pairs, self.vad, *others) if name is not None))


_OPTIONAL_KEYS = tuple(field.name for field in fields(Bundle) if field.default is None)


def manifest_names() -> list[str]:
    """The names of all models that have a manifest, shipped or made here."""
    return sorted({path.stem for path in (*MANIFESTS.glob("*.toml"), *user_bundles.manifest_paths())})


def bundle_names() -> list[str]:
    """The names of all bundles, shipped or made here."""
    return sorted({path.stem for path in BUNDLES.glob("*.toml")} | set(user_bundles.bundle_names()))


def load_manifest(name: str) -> Manifest:
    """Reads `models/manifests/NAME.toml`, or the manifest of a bundle that was made here.

    Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong.
    """
    return read_manifest(_manifest_path(name), name)


def read_manifest(path: Path, name: str) -> Manifest:
    """The manifest in a file, which must be of this name. Raises ModelError: BAD_INPUT, TOO_LARGE."""
    table, where = _read_toml(path, name), _where(path, MANIFESTS, "models/manifests")
    folder = None if path.parent == MANIFESTS else path.parents[1]
    _check_keys(table, _MANIFEST_KEYS, {*_MANIFEST_KEYS, "kind"}, where)
    role = table["role"]
    if role not in (*ROLES, *_OLD_ROLES) and not _MODALITY_ROLE.fullmatch(role):
        known = f"{', '.join(ROLES)}, MODALITY-encoder, MODALITY-connector"
        raise ModelError(Reason.BAD_INPUT, f"{where}: role {role!r} is none of {known}")
    if not isinstance(table["files"], list) or not table["files"]:
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs at least one [[files]] entry")
    files = tuple(_file(one, where, folder) for one in table["files"])
    kind = table.get("kind", "")
    if not kind and not any(file.role for file in files):
        kind, files = _as_before_roles(role, files, where)
    _check_files(role, kind, files, where)
    return Manifest(name, role, table["licence"], table["upstream"], files, kind)


def _as_before_roles(role: str, files: tuple[ModelFile, ...], where: str) -> tuple[str, tuple[ModelFile, ...]]:
    """Kind and roles for a manifest that was written before there were any, when the order of the files told them."""
    kind = {1: "pooled", 2: "soft-tokens", 3: "soft-tokens", 5: "speech"}.get(len(files), "")
    if not role.endswith("-connector"):
        kind = ""
    groups = CONNECTOR_FILES[kind] if kind else _OTHER_FILES["voice"] if role == "voice" else ()
    roles = [one for group in groups for one in group][: len(files)]
    if roles:
        what = f"kind is missing, taken to be {kind!r}" if kind else "roles of the files are missing"
        log.warning("%s: %s, by the number and order of the files; write it down", where, what)
        return kind, tuple(replace(file, role=one) for file, one in zip(files, roles, strict=False))
    if role in _OLD_ROLES:  # three heads of a memory intent: their file names end in what they are for
        ends = [Path(file.name).stem.rpartition("-")[2] for file in files]
        files = tuple(replace(file, role=end) for file, end in zip(files, ends, strict=True))
    return kind, files


def _check_files(role: str, kind: str, files: tuple[ModelFile, ...], where: str) -> None:
    """Raises ModelError(BAD_INPUT) for a kind that does not exist or files that do not make up a model of the kind."""
    is_connector = role.endswith("-connector")
    if is_connector and kind not in CONNECTOR_FILES:
        raise ModelError(Reason.BAD_INPUT, f"{where}: kind {kind!r} is none of {', '.join(CONNECTOR_FILES)}")
    if kind and not is_connector:
        raise ModelError(Reason.BAD_INPUT, f"{where}: kind {kind!r} of a {role}; only a connector has one")
    expected = CONNECTOR_FILES[kind] if is_connector else _OTHER_FILES.get(role)
    if expected is None:
        return
    needed, optional = expected
    for i, file in enumerate(files):
        if file.role not in (*needed, *optional):
            known = ", ".join((*needed, *optional))
            raise ModelError(Reason.BAD_INPUT, f"{where}: files[{i}].role {file.role!r} is none of {known}")
        if file.role in (one.role for one in files[:i]):
            raise ModelError(Reason.BAD_INPUT, f"{where}: files[{i}].role {file.role!r} is given twice")
    if missing := [one for one in needed if one not in (file.role for file in files)]:
        raise ModelError(Reason.BAD_INPUT, f"{where}: files: none has the role {', '.join(missing)}")


def load_bundle(name: str = DEFAULT_BUNDLE) -> Bundle:
    """Reads `models/bundles/NAME.toml`, or a bundle that was made here.

    Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong.
    """
    return read_bundle(_bundle_path(name), name)


def read_bundle(path: Path, name: str) -> Bundle:
    """The bundle in a file, which must be of this name. Raises ModelError: BAD_INPUT, TOO_LARGE."""
    where = _where(path, BUNDLES, "models/bundles")
    table = _with_new_keys(_read_toml(path, name), where)
    modalities = dict.fromkeys([*_NEEDED_MODALITIES, *(key.partition("_")[0] for key in table if _is_part(key))])
    needed = {f"{one}_{what}" for one in modalities for what in ("encoder", "connector")} | {"name", "backbone", "vad"}
    _check_keys(table, needed, {*needed, *_OPTIONAL_KEYS}, where)
    encoders, connectors = (
        {one: table.pop(f"{one}_{what}") for one in modalities} for what in ("encoder", "connector")
    )
    return Bundle(encoders=encoders, connectors=connectors, **table)


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


def _manifest_path(name: str) -> Path:
    """Raises ModelError(NOT_FOUND)."""
    if _NAME.fullmatch(name):
        if (shipped := MANIFESTS / f"{name}.toml").is_file():
            return shipped
        if made := _of_user(user_bundles.manifest_paths, name):
            return made[0]
    raise _unknown("model", name, _known(MANIFESTS, manifest_names))


def _bundle_path(name: str) -> Path:
    """Raises ModelError(NOT_FOUND)."""
    if _NAME.fullmatch(name):
        if (shipped := BUNDLES / f"{name}.toml").is_file():
            return shipped
        made = _of_user(lambda: [user_bundles.folder_of(name) / user_bundles.BUNDLE_FILE])
        if made and made[0].is_file():
            return made[0]
    raise _unknown("bundle", name, _known(BUNDLES, bundle_names))


def _unknown(kind: str, name: str, known: str) -> ModelError:
    close = difflib.get_close_matches(name, known.split(", "), n=1)
    meant = f", did you mean {close[0]}?" if close else ""
    return ModelError(Reason.NOT_FOUND, f"unknown {kind} {name!r}{meant}; known: {known}")


def _of_user(find: Callable[..., list[Any]], *given: str) -> list[Any]:
    """What `find` finds; nothing for a user without a home folder."""
    try:
        return find(*given)
    except InputError:
        return []


def _known(shipped: Path, names: Callable[[], list[str]]) -> str:
    return ", ".join(_of_user(names) or sorted(path.stem for path in shipped.glob("*.toml"))) or "none"


def _where(path: Path, shipped: Path, folder: str) -> str:
    """How messages name a file: as it is in the repository, else in full."""
    return f"{folder}/{path.name}" if path.parent == shipped else str(path)


def _read_toml(path: Path, name: str) -> dict[str, Any]:
    if path.stat().st_size > MAX_TOML_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over {MAX_TOML_BYTES >> 10} KiB; a manifest has a page")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, numbers of thousands of digits, deep nesting
        raise ModelError(Reason.BAD_INPUT, f"{path} is not TOML: {error}") from error
    if table.get("name") != name:
        said = table.get("name")
        raise ModelError(Reason.BAD_INPUT, f"{path}: name is {said!r}, must be {name!r} as the file's or its folder's")
    return table


def _check_keys(table: dict[str, Any], needed: set[str], allowed: set[str], where: str) -> None:
    if missing := needed - table.keys():
        raise ModelError(Reason.BAD_INPUT, f"{where}: lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - allowed:
        raise ModelError(Reason.BAD_INPUT, f"{where}: unknown {', '.join(sorted(unknown))}")
    for key, value in table.items():
        if key not in ("files", "sources", "size_bytes") and not isinstance(value, str):
            raise ModelError(Reason.BAD_INPUT, f"{where}: {key} must be a string")


def _file(table: Any, where: str, folder: Path | None) -> ModelFile:
    if not isinstance(table, dict):
        raise ModelError(Reason.BAD_INPUT, f"{where}: files holds {table!r}, not a [[files]] entry")
    _check_keys(table, _FILE_KEYS, {*_FILE_KEYS, "role"}, where)
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
    parsed = (sources.parse_pieces(o) if isinstance(o, list) else sources.parse(str(o), folder) for o in origins)
    return ModelFile(name, size_bytes, sha256, tuple(parsed), table.get("role", ""))
