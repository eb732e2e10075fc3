"""Streams a model's inputs for calibration and measuring.

The name of a model's input decides what it gets: `mel` and `patches` are sound, `pixels` are pictures, `latents` are
the output of one of the bundle's encoders. Any other model is fed from .npz files that hold one array for each input.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from glasses.audio.sound_files import read_audio
from glasses.data import data_path
from glasses.encoders.audio import MAX_S, MIN_SAMPLES, AudioEncoder, windows
from glasses.encoders.image import ImageEncoder, preprocess
from glasses.encoders.mel import log_mel
from glasses.encoders.sound import SoundEncoder, log_mel_patches
from glasses.errors import GlassesError, InputError, ModelError, Reason
from glasses.evaluation import sounds, speech
from glasses.evaluation.subset import spread
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.types import SAMPLE_RATE_HZ
from quantize import onnx_file

Kind = Literal["sound", "picture", "arrays"]
Feed = dict[str, NDArray[Any]]
BUNDLE = "bundle"  # --calibration bundle: what is in this repository and is not held out
EVAL = data_path("models/eval")
DEMO = Path(speech.__file__).parents[1] / "recording" / "demo"
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "sound": (".wav", ".ogg", ".flac", ".mp3", ".opus"),
    "picture": (".jpg", ".jpeg", ".png", ".webp", ".bmp"),
    "arrays": (".npz",),
}
MAX_ARRAY_BYTES = 256 << 20  # of one .npz unpacked
PHONEMES_A_SECOND = 30  # of speech, with the pads that Piper puts between them
CALIBRATION_S = 10  # of one sound: a window nobody speaks longer than without a pause


@dataclass(frozen=True, slots=True)
class Named:
    """One input with the file and the domain (speech, sounds, pictures) it comes from."""

    file: str
    domain: str
    feed: Feed


@dataclass(frozen=True, slots=True)
class Role:
    """What a model takes: `kind` of file, and how to turn one into a feed."""

    name: str
    kind: Kind
    feeds: Callable[[Path], Iterator[Feed]]


def role_of(model: onnx.ModelProto, bundle: str = store.DEFAULT_BUNDLE) -> Role:
    """Tells the role of `model` by its inputs. Raises ModelError(BAD_INPUT) for latents of a width nobody makes."""
    shapes = onnx_file.inputs(model)
    if "mel" in shapes:
        return Role("audio-encoder", "sound", lambda path: ({"mel": mel} for mel in _mels(path)))
    if "patches" in shapes:
        return Role("sound-encoder", "sound", lambda path: ({"patches": log_mel_patches(x)} for x in _pieces(path)))
    if "pixels" in shapes:
        return Role("image-encoder", "picture", lambda path: iter([{"pixels": preprocess(read_image(path))}]))
    if "latents" in shapes:
        return _connector_role(shapes["latents"][-1], bundle)
    return Role("other", "arrays", lambda path: iter([_arrays(path, list(shapes))]))


def _connector_role(width: int | str, bundle: str) -> Role:
    names = store.load_bundle(bundle)
    if width == 1280:
        image = ImageEncoder(store.path_of(names.encoders["image"]))
        return Role("image-connector", "picture", lambda path: iter([{"latents": image.encode(read_image(path)).data}]))
    if width == 768:
        audio = AudioEncoder(store.path_of(names.encoders["audio"]), n_threads=1)
        return Role(
            "audio-connector",
            "sound",
            lambda path: ({"latents": audio.encode(pcm).data} for pcm in _pieces(path)),
        )
    if width == 1024:
        audio = AudioEncoder(store.path_of(names.encoders["audio"]), n_threads=1)
        sound = SoundEncoder(store.path_of(names.encoders["sound"]), n_threads=1)
        here = np.ones(1, np.float32)
        return Role(
            "sound-connector",
            "sound",
            lambda path: (
                {"latents": sound.encode(pcm).data, "beside": audio.encode(pcm).data, "has_beside": here}
                for pcm in _pieces(path)
            ),
        )
    made = "768, 1024 and 1280"
    raise ModelError(Reason.BAD_INPUT, f"latents {width} wide: the encoders of bundle {bundle!r} make {made}")


def calibration(role: Role, source: str | Path, *, limit: int | None = None) -> Iterator[Feed]:
    """Feeds from a folder, or from what this repository holds that is not held out (`bundle`); one at a time.

    `bundle` is for sound the clips that the sound connector was trained on and the demo's minute, for pictures the
    demo's frames (few scenes: a folder of photographs calibrates better).
    Raises InputError: NOT_FOUND (no such folder), BAD_INPUT (nothing of the right kind in it).
    """
    count = 0
    for path in files(role, source):
        for feed in role.feeds(path):
            if limit is not None and count >= limit:
                return
            count += 1
            yield feed


def sample(role: Role, source: str | Path, n: int) -> list[Feed]:
    """The first feed of each of `n` calibration files, spread over them. Raises as `calibration`."""
    return [next(role.feeds(path)) for path in spread(files(role, source), n)]


def files(role: Role, source: str | Path) -> list[Path]:
    """The calibration files that `calibration` will read. Raises InputError as it does."""
    if str(source) == BUNDLE:
        if role.kind == "sound":
            known = [EVAL / "sounds" / one.file for one in sounds.read_index() if one.split == "reference"]
            return [*known, DEMO / "audio.ogg"]
        return files(role, DEMO / "frames")
    folder = Path(source)
    if not folder.is_dir():
        raise InputError(Reason.NOT_FOUND, f"{folder}: no such folder of calibration data")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES[role.kind])
    if not found:
        kinds = sorted({path.suffix.lower() for path in folder.rglob("*") if path.suffix})[:6]
        raise InputError(
            Reason.BAD_INPUT,
            f"{folder}: an {role.name} is calibrated with {role.kind} files ({', '.join(SUFFIXES[role.kind])}), "
            f"here are {', '.join(kinds) or 'none'}",
        )
    return found


def held_out(role: Role, *, limit: int | None = None, folder: Path | None = None) -> Iterator[Named]:
    """Inputs that nothing was trained or calibrated on: models/eval, or the files of `folder`; `limit` a domain."""
    for domain, paths in _domains(role, folder).items():
        chosen = spread(paths, limit)
        for path in chosen:
            for feed in role.feeds(path):
                yield Named(path.name, domain, feed)


def check_held_out(role: Role, folder: Path | None) -> None:
    """Raises InputError as `held_out`, where it would find nothing."""
    _domains(role, folder)


def _domains(role: Role, folder: Path | None) -> dict[str, Sequence[Path]]:
    if folder:
        return {folder.name: files(role, folder)}
    if role.kind == "picture":
        rows = (EVAL / "pictures" / "index.jsonl").read_text(encoding="utf-8").splitlines()
        return {"pictures": [EVAL / "pictures" / json.loads(row)["file"] for row in rows]}
    if role.kind == "sound":
        rows = (EVAL / "speech" / "index.jsonl").read_text(encoding="utf-8").splitlines()
        return {
            "speech": [EVAL / "speech" / json.loads(row)["file"] for row in rows],
            "sounds": [EVAL / "sounds" / one.file for one in sounds.read_index() if one.split == "held-out"],
        }
    raise InputError(Reason.BAD_INPUT, "this model is none of the bundle's: name a folder of .npz files with --data")


def _pieces(path: Path) -> Iterator[NDArray[np.float32]]:
    for pcm in windows(read_audio(path), max_s=CALIBRATION_S if path.parent == DEMO else MAX_S):
        if len(pcm) >= MIN_SAMPLES:
            yield pcm


def _mels(path: Path) -> Iterator[NDArray[np.float32]]:
    for pcm in _pieces(path):
        yield log_mel(pcm[: len(pcm) // MIN_SAMPLES * MIN_SAMPLES])[None]


def _arrays(path: Path, names: Sequence[str]) -> Feed:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_ARRAY_BYTES:
                raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_ARRAY_BYTES >> 20} MiB unpacked")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except GlassesError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(
            Reason.BAD_INPUT, f"{path}: needs one array for each of {', '.join(names)} ({error})"
        ) from error


def demo_sound() -> Iterator[NDArray[np.float32]]:
    """The demo's minute in windows, which nothing was trained on."""
    yield from _pieces(DEMO / "audio.ogg")


def timing(model: onnx.ModelProto, seconds: int) -> Named:
    """An input to time a model of the bundle with, for `seconds` of sound or one picture; its content changes no time.

    For a voice it is text that takes about so long to say. Raises ModelError(BAD_INPUT) for any other model.
    """
    shapes = onnx_file.inputs(model)
    rng = np.random.default_rng(0)
    pcm = (0.1 * rng.standard_normal(seconds * SAMPLE_RATE_HZ)).astype(np.float32)
    if "mel" in shapes:
        return Named(f"{seconds} s", "noise", {"mel": log_mel(pcm)[None]})
    if "patches" in shapes:
        return Named(f"{seconds} s", "noise", {"patches": log_mel_patches(pcm)})
    if "pixels" in shapes:
        return Named("grey", "noise", {"pixels": preprocess(np.full((480, 640, 3), 128, np.uint8))})
    if "latents" in shapes:
        width = shapes["latents"][-1]
        n_rows = {768: 50 * seconds, 1024: 2 * seconds, 1280: 49}  # of Whisper, YAMNet and EfficientNet
        feed = {"latents": rng.standard_normal((n_rows[int(width)], int(width))).astype(np.float32)}
        if "beside" in shapes:
            feed["beside"] = rng.standard_normal((50 * seconds, 768)).astype(np.float32)
            feed["has_beside"] = np.ones(1, np.float32)
        return Named(f"{seconds} s", "noise", feed)
    if "input_lengths" in shapes:
        ids = np.full((1, PHONEMES_A_SECOND * seconds), 20, np.int64)
        scales = np.array([0, 1, 0], np.float32)  # no randomness; the voice's own pace
        return Named(
            "text", "text", {"input": ids, "input_lengths": np.array(ids.shape[1:], np.int64), "scales": scales}
        )
    raise ModelError(Reason.BAD_INPUT, f"no model of the bundle takes {', '.join(shapes)}")
