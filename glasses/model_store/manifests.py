"""Reads and checks `models/manifests/NAME.toml`: a model, its files and where they come from."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glasses.data import data_path
from glasses.errors import ModelError, Reason
from glasses.model_store import sources, user_bundles
from glasses.model_store.toml_file import NAME, check_keys, known_names, of_user, read_toml, unknown, where_of

log = logging.getLogger(__name__)

MANIFESTS = data_path("models/manifests")
MAX_FILE_BYTES = 4 << 30  # no board we aim at can load more

# What a model is. An encoder or connector is named after its modality: "image-encoder", "image-connector".
ROLES = (
    "backbone", "vad", "end-of-turn", "addressee", "speaker", "memory-intent", "tool-choice", "tool-arguments", "voice",
    "reference",
    "source",
)  # fmt: skip
_MODALITY_ROLE = re.compile(r"[a-z]+-(encoder|connector)")
_OLD_ROLES = ("voice-gate",)  # of what is now vad, end-of-turn, addressee or memory-intent
# The roles of the files of a connector by its kind, and of other models of several files: those that it must have, then
# those that it may have. A file's role tells what it is; the order of the files tells nothing.
CONNECTOR_FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pooled": (("network",), ()),
    "soft-tokens": (("wording", "network"), ("adapter",)),
    "letters": (("wording",), ()),
    "things": (("wording",), ()),
    "speech": (("decoder-begin", "decoder-step", "decoder-weights", "subwords"), ("task-prefix",)),
}
_OTHER_FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text-encoder": (("detector", "recognizer"), ()),
    "memory-intent": (("sound", "picture", "wipe"), ()),
    "voice": (("network", "config"), ()),
}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_KEYS = {"name", "size_bytes", "sha256", "sources"}
_MANIFEST_KEYS = {"name", "role", "licence", "upstream", "files"}


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


def manifest_names() -> list[str]:
    """The names of all models that have a manifest, shipped or made here."""
    return sorted({path.stem for path in (*MANIFESTS.glob("*.toml"), *user_bundles.manifest_paths())})


def load_manifest(name: str) -> Manifest:
    """Reads `models/manifests/NAME.toml`, or the manifest of a bundle that was made here.

    Raises ModelError: NOT_FOUND, or BAD_INPUT if the file is wrong.
    """
    return read_manifest(_manifest_path(name), name)


def read_manifest(path: Path, name: str) -> Manifest:
    """The manifest in a file, which must be of this name. Raises ModelError: BAD_INPUT, TOO_LARGE."""
    table, where = read_toml(path, name), where_of(path, MANIFESTS, "models/manifests")
    folder = None if path.parent == MANIFESTS else path.parents[1]
    check_keys(table, _MANIFEST_KEYS, {*_MANIFEST_KEYS, "kind"}, where)
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
    if kind == "speech":  # what may be left out today came first
        roles = [*roles[-1:], *roles[:-1]]
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


def _manifest_path(name: str) -> Path:
    """Raises ModelError(NOT_FOUND)."""
    if NAME.fullmatch(name):
        if (shipped := MANIFESTS / f"{name}.toml").is_file():
            return shipped
        if made := of_user(user_bundles.manifest_paths, name):
            return made[0]
    raise unknown("model", name, known_names(MANIFESTS, manifest_names))


def _file(table: Any, where: str, folder: Path | None) -> ModelFile:
    if not isinstance(table, dict):
        raise ModelError(Reason.BAD_INPUT, f"{where}: files holds {table!r}, not a [[files]] entry")
    check_keys(table, _FILE_KEYS, {*_FILE_KEYS, "role"}, where)
    name, size_bytes, sha256, origins = (table[key] for key in ("name", "size_bytes", "sha256", "sources"))
    where = f"{where}: {name}"
    if not NAME.fullmatch(name) or not _SHA256.fullmatch(sha256):
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs a plain file name and 64 lower-case hex digits of sha256")
    if type(size_bytes) is not int or size_bytes <= 0:
        raise ModelError(Reason.BAD_INPUT, f"{where}: size_bytes must be a positive integer")
    if size_bytes > MAX_FILE_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{where}: {size_bytes:,} bytes are over the cap of {MAX_FILE_BYTES:,}")
    if not isinstance(origins, list) or not origins:
        raise ModelError(Reason.BAD_INPUT, f"{where}: needs at least one source")
    parsed = (sources.parse_pieces(o) if isinstance(o, list) else sources.parse(str(o), folder) for o in origins)
    return ModelFile(name, size_bytes, sha256, tuple(parsed), table.get("role", ""))
