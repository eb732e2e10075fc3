"""Makes a whole bundle out of its sources: files, manifests with hashes, and the bundle file that `glasses` reads.

`pocket` is rebuilt exactly as it is shipped and held against the manifests. Any other name is a variant of it for one
board. Connectors and voices are trained elsewhere and taken as they are; a connector of an encoder that changed gets
that encoder's new name stamped into its metadata, and `trained_on` says what it was trained on.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from glasses.errors import InputError, Reason
from glasses.model_store import bundles, ctranslate2, store, user_bundles
from glasses.model_store.onnx import space_of
from glasses.system.board import load_board
from quantize import (
    backbone,
    graph,
    imatrix,
    processors,
    schemes,
    sound_encoder,
    whisper_encoder,
)
from quantize.files import try_folder, whole, whole_folder, write_text
from quantize.manifest import manifest_of
from quantize.schemes import Options

BASE = store.DEFAULT_BUNDLE
AUDIO_SOURCE, IMAGE_SOURCE, SOUND_SOURCE = "whisper-tiny-en-ct2", "efficientnet-lite0-pth", "yamnet-onnx"
OURS = "this repository"
TRAINED = "taken as it is: trained here, which takes downloads and up to hours (models/recipes)"
AS_PUBLISHED = "taken as it was published"
SHIPPED = "shipped"
SCHEMES: tuple[schemes.Scheme, ...] = ("dynamic-int8", "int8-weight-only", "fp16")  # those that need no calibration
SMALL_MB = 1024  # boards with less memory get the smaller backbone
# What was trained on which part, by the keys of a bundle file: which of its files, and where it names the part's space.
READERS: dict[str, dict[str, tuple[str, str]]] = {
    "audio_encoder": {
        **{"audio_connector": ("listener-begin.onnx", "space"), "audio_ambience": ("*", "space")},
        **{"sound_connector": ("*", "beside_space"), "end_of_turn": ("*", "space"), "addressee": ("*", "space")},
    },
    "image_encoder": {"image_connector": ("*", "space")},
    "backbone": {
        **{"audio_connector": ("*.npz", "space"), "memory_intent": ("*", "space"), "tool_choice": ("*", "space")}
    },
}
_MADE = f"# A variant of {BASE}, made by:"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_IDS = {"audio_encoder": "whisper-tiny-en", "image_encoder": "efficientnet-lite0"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs from the shipped bundle; None leaves a part as it is."""

    audio: Options | None = None
    backbone: str | None = None


def recipe_for(board: str, scheme: schemes.Scheme | None = None, kind: str | None = None) -> Recipe:
    """The variant for a board, from what its file says; `scheme` and `kind` of the backbone overrule it.

    Raises InputError as processors.board_compute; BAD_INPUT for a type that llama.cpp does not know.
    """
    memory_mb = load_board(board).memory_mb
    kind = kind or ("mixed" if memory_mb is not None and memory_mb < SMALL_MB else SHIPPED)
    if kind != SHIPPED:
        backbone.check_type(kind)
    return Recipe(audio_options_for(board, scheme), None if kind == SHIPPED else kind)


def audio_options_for(board: str, scheme: schemes.Scheme | None = None) -> Options:
    """What `plan` advises for the board, or `scheme` in its place. Raises InputError as processors.board_compute."""
    advised, _ = processors.audio_options(processors.board_compute(board))
    return advised if scheme in (None, advised.scheme) else Options(scheme)


def described(recipe: Recipe) -> str:
    """What `make` will make, in words."""
    parts = [f"an audio encoder ({recipe.audio.scheme})"] if recipe.audio else []
    parts += [f"a backbone ({recipe.backbone})"] if recipe.backbone else []
    return f"{' and '.join(parts) or 'nothing new'}, with copies of the connectors and heads that read them"


def check(recipe: Recipe, importance: Path | None) -> None:
    """Raises ModelError where something that `make` reads is not here."""
    if recipe.audio:
        store.path_of(AUDIO_SOURCE)
    if importance:
        imatrix.read(importance)
    for model in store.load_bundle(BASE).models():
        for file in store.load_manifest(model).files if model != store.load_bundle(BASE).voice else ():
            store.path_of(model, file.name)


def rebuild_pocket(photos: Path | None, scratch: Path, step: Callable[[str], Any]) -> list[dict[str, str]]:
    """Makes the shipped encoders again and says of each whether the hash is the manifest's, and if not, why."""
    names = store.load_bundle(BASE)
    rows = []
    step("audio encoder")
    out = scratch / "audio.onnx"
    with schemes.quiet():
        graph.save_int8(whisper_encoder.build(ctranslate2.read_tensors(store.path_of(AUDIO_SOURCE))), out)
    rows.append(_same(names.encoders["audio"], out, "another version of onnx or onnxruntime made it"))
    step("sound encoder")
    out = scratch / "sound.onnx"
    onnx.save(sound_encoder.build(*sound_encoder.read_export(store.path_of(SOUND_SOURCE))), out)
    rows.append(_same(names.encoders["sound"], out, "another version of onnx made it"))
    if photos:
        from quantize import image_encoder  # noqa: PLC0415  (imports torch, which is optional)

        step("image encoder")
        out = scratch / "image.onnx"
        weights = image_encoder.load_weights(store.path_of(IMAGE_SOURCE))
        with schemes.quiet():
            image_encoder.quantize(image_encoder.build(weights), sorted(photos.rglob("*.jpg")), out)
        why = "the ranges were seen on other photographs, or by a processor that adds floats in another order"
        rows.append(_same(names.encoders["image"], out, why))
    else:
        why = "not made again: give --photos DIR/photos (python -m models.recipes.image_pictures --work DIR)"
        rows.append({"model": names.encoders["image"], "result": why})
    for name in names.models():
        if name not in (names.encoders["audio"], names.encoders["sound"], names.encoders["image"]):
            why = TRAINED if store.load_manifest(name).upstream.startswith(OURS) else AS_PUBLISHED
            rows.append({"model": name, "result": why, "sha256": store.sha256_of(store.path_of(name))})
    return rows


def _same(name: str, out: Path, why: str) -> dict[str, str]:
    made, wanted = store.sha256_of(out), store.load_manifest(name).files[0].sha256
    result = "made again, same sha256" if made == wanted else f"made again, DIFFERS from the manifest: {why}"
    return {"model": name, "result": result, "sha256": made}


def folder_for(name: str, out: Path | None) -> Path:
    """Where `make` will put the bundle: `out`, or a folder of its name in the cache.

    Raises InputError(BAD_INPUT) for a name that is no file's or taken by what is shipped, or an `out` that holds
    anything but an earlier bundle; ModelError for a folder that cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(Reason.BAD_INPUT, f"{name!r} names no bundle: small letters, digits, dots and dashes do")
    if (bundles.BUNDLES / f"{name}.toml").exists():
        raise InputError(Reason.BAD_INPUT, f"{name} is a bundle that is shipped: give another --name")
    link = user_bundles.folder_of(name)
    folder = (out or link).absolute()
    for one in {folder, link}:
        if (one.exists() or one.is_symlink()) and not _is_made(one) and (not one.is_dir() or any(one.iterdir())):
            raise InputError(Reason.BAD_INPUT, f"{one} is there and is no bundle made here: name another, or remove it")
        try_folder(one.parent)
    return folder


def _is_made(folder: Path) -> bool:
    """Whether a bundle was made in `folder`, or it is a link to where one was that is gone."""
    file = folder / user_bundles.BUNDLE_FILE
    if file.is_file():
        return file.read_bytes().startswith(_MADE.encode())
    return folder.is_symlink() and not folder.exists()


def make(
    name: str, recipe: Recipe, *, importance: Path | None, out: Path | None = None, step: Callable[[str], Any]
) -> dict[str, Any]:
    """Writes the files of a variant, its manifests and its bundle.toml to the folder of `folder_for`, or nothing.

    Returns what was made. Raises as `folder_for`, and whatever its parts raise.
    """
    folder = folder_for(name, out)
    table = tomllib.loads((bundles.BUNDLES / f"{BASE}.toml").read_text(encoding="utf-8"))
    table.pop("figures", None)  # were measured of the original
    with whole_folder(folder) as part:
        files = _files(name, table, recipe, part, importance=importance, step=step)
        for key, replaced in files.items():
            original, own = store.load_manifest(table[key]), f"{name}-{_slug(key)}"
            write_text(part / "manifests" / f"{own}.toml", manifest_of(own, original, replaced))
            table[key] = own
        lines = [f"{key} = {json.dumps(name if key == 'name' else value)}" for key, value in table.items()]
        text = f"{_MADE} quantize bundle --name {name}\n" + "\n".join(lines) + "\n"
        write_text(part / user_bundles.BUNDLE_FILE, text)
        made = {
            key: {
                "model": table[key],
                "bytes": sum(path.stat().st_size for path in replaced.values()),
                "sha256": ", ".join(store.sha256_of(path) for path in replaced.values()),
            }
            for key, replaced in files.items()
        }
    if (link := user_bundles.folder_of(name)) != folder:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True) if link.is_symlink() else shutil.rmtree(link, ignore_errors=True)
        link.symlink_to(folder)
    return made


def _files(
    name: str,
    table: dict[str, str],
    recipe: Recipe,
    out: Path,
    *,
    importance: Path | None,
    step: Callable[[str], Any],
) -> dict[str, dict[str, Path]]:
    """The files of a variant, made in `out`, by the keys of a bundle file and the names of those they replace."""
    files: dict[str, dict[str, Path]] = {}
    if recipe.audio:
        step("audio encoder")
        made = audio(out / f"{name}-audio-encoder.onnx", recipe.audio)
        files["audio_encoder"] = {store.load_manifest(table["audio_encoder"]).files[0].name: made}
    if recipe.backbone:
        step("backbone")
        made = out / f"{name}-backbone.gguf"
        files["backbone"] = {store.load_manifest(table["backbone"]).files[0].name: made}
        weighed = imatrix.read(importance) if importance else None
        with whole(made) as part:
            backbone.quantize(store.path_of(table["backbone"]), part, recipe.backbone, weighed)
    step("connectors")
    return files | _restamped(name, table, files, out)


def audio(out: Path, options: Options) -> Path:
    """Writes the audio encoder, made of its source by `options`, to `out`."""
    with whole(out) as part:
        source = part.with_name("float.onnx")
        onnx.save(whisper_encoder.build(ctranslate2.read_tensors(store.path_of(AUDIO_SOURCE))), source)
        schemes.write(schemes.prepare(source, part.parent, options, ()), part, options)
    return out


def _restamped(
    name: str, table: dict[str, str], files: dict[str, dict[str, Path]], out: Path
) -> dict[str, dict[str, Path]]:
    """Copies of the connectors and heads whose encoder or backbone changed, with the new one's space in them."""
    made: dict[str, dict[str, Path]] = {}
    for part in READERS.keys() & files.keys():
        (path,) = files[part].values()
        space = store.sha256_of(path)[:16] if part == "backbone" else space_of(_IDS[part], path)
        for key, (which, field) in READERS[part].items():
            for old in store.load_manifest(table[key]).files if key in table else ():
                if fnmatch(old.name, which):
                    rest = old.name.removeprefix(table[key])  # of several: "-sound.npz"
                    new = out / f"{name}-{_slug(key)}{rest if rest != old.name else f'-{rest}'}"
                    _restamp(store.path_of(table[key], old.name), new, field, space)
                    made.setdefault(key, {})[old.name] = new
    return made


def _restamp(old: Path, new: Path, field: str, space: str) -> None:
    with whole(new) as part:
        if old.suffix == ".npz":
            with np.load(old, allow_pickle=False) as file, part.open("wb") as out:
                np.savez_compressed(out, **{**file, field: np.array(space)})
            return
        model = onnx.load(old, load_external_data=False)
        metadata = {one.key: one.value for one in model.metadata_props}
        metadata |= {"trained_on": metadata.get("trained_on", metadata[field]), field: space}
        helper.set_model_props(model, metadata)
        part.write_bytes(model.SerializeToString())  # what lies in a file of its own stays there


def _slug(key: str) -> str:
    return key.replace("_", "-")
