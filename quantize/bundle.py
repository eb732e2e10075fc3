"""Makes a whole bundle out of its sources: files, manifests with hashes, and the bundle file that `glasses` reads.

`pocket` is rebuilt exactly as it is shipped and held against the manifests. Any other name is a variant of it for one
board. Connectors and voices are trained elsewhere and taken as they are; a connector of an encoder that changed gets
that encoder's new name stamped into its metadata, and `trained_on` says what it was trained on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from glasses import manifests, sources, store
from glasses.board import load_board
from glasses.errors import InputError, Reason
from glasses.onnx_session import space_of
from quantize import backbone, ctranslate2, graph, imatrix, onnx_file, plan, schemes, whisper_encoder
from quantize.files import whole, write_text
from quantize.schemes import Options

BASE = store.DEFAULT_BUNDLE
BUILT = sources.REPO_ROOT / "models" / "built"  # not committed: every file can be made again
AUDIO_SOURCE, IMAGE_SOURCE = "whisper-tiny-en-ct2", "efficientnet-lite0-pth"
SMALL_MB = 1024  # boards with less memory get the smaller backbone
# Which connectors read which encoder, by their keys in a bundle file.
READERS = {"audio_encoder": ("audio_words", "audio_ambience"), "image_encoder": ("image_connector",)}
_IDS = {"audio_encoder": "whisper-tiny-en", "image_encoder": "efficientnet-lite0"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs from the shipped bundle; None leaves a part as it is."""

    audio: Options | None = None
    backbone: str | None = None


def recipe_for(board: str) -> Recipe:
    """The variant for a board, from what its file says. Raises InputError as plan.board_compute."""
    dot_product = {"dotprod", "i8mm"} & set(plan.board_compute(board).isa)
    memory_mb = load_board(board).memory_mb
    return Recipe(
        audio=Options("dynamic-int8", every_product=bool(dot_product)),
        backbone="mixed" if memory_mb is not None and memory_mb < SMALL_MB else None,
    )


def rebuild_pocket(photos: Path | None, scratch: Path, step: Callable[[str], Any]) -> list[dict[str, str]]:
    """Makes the shipped encoders again and says of each whether the hash is the manifest's, and if not, why."""
    names = store.load_bundle(BASE)
    rows = []
    step("audio encoder")
    out = scratch / "audio.onnx"
    with schemes.quiet():
        graph.save_int8(whisper_encoder.build(ctranslate2.read_tensors(store.path_of(AUDIO_SOURCE))), out)
    rows.append(_same(names.audio_encoder, out, "another version of onnx or onnxruntime made it"))
    if photos:
        from quantize import image_encoder  # noqa: PLC0415  (imports torch, which is optional)

        step("image encoder")
        out = scratch / "image.onnx"
        weights = image_encoder.load_weights(store.path_of(IMAGE_SOURCE))
        with schemes.quiet():
            image_encoder.quantize(image_encoder.build(weights), sorted(photos.rglob("*.jpg")), out)
        why = "the ranges were seen on other photographs, or by a processor that adds floats in another order"
        rows.append(_same(names.image_encoder, out, why))
    else:
        why = "not made again: give --photos DIR/photos (python -m models.recipes.image_pictures --work DIR)"
        rows.append({"model": names.image_encoder, "result": why})
    for name in names.models():
        if name not in (names.audio_encoder, names.image_encoder):
            path, manifest = store.path_of(name), store.load_manifest(name)
            trained = "trained" if manifest.role.endswith("connector") else "as it was published"
            rows.append({"model": name, "result": f"{trained}, taken as it is", "sha256": store.sha256_of(path)})
    return rows


def _same(name: str, out: Path, why: str) -> dict[str, str]:
    made, wanted = store.sha256_of(out), store.load_manifest(name).files[0].sha256
    result = "made again, same sha256" if made == wanted else f"made again, DIFFERS from the manifest: {why}"
    return {"model": name, "result": result, "sha256": made}


def make(
    name: str, recipe: Recipe, *, importance: Path | None, out: Path = BUILT, step: Callable[[str], Any]
) -> dict[str, Any]:
    """Writes the files of a variant to `out`, its manifests and models/bundles/NAME.toml, and returns what was made.

    Raises InputError(BAD_INPUT) for a name that is taken by what is shipped or a folder outside the repository,
    and whatever its parts raise; then no manifest is written.
    """
    if name == BASE or not out.resolve().is_relative_to(sources.REPO_ROOT):
        raise InputError(
            Reason.BAD_INPUT, f"{name} in {out}: another name than {BASE}, in a folder of this repository, is needed"
        )
    table = tomllib.loads((manifests.BUNDLES / f"{BASE}.toml").read_text(encoding="utf-8"))
    files: dict[str, Path] = {}
    if recipe.audio:
        step("audio encoder")
        files["audio_encoder"] = _audio(out / f"{name}-audio-encoder.onnx", recipe.audio)
    if recipe.backbone:
        step("backbone")
        files["backbone"] = out / f"{name}-backbone.gguf"
        weighed = imatrix.read(importance) if importance else None
        with whole(files["backbone"]) as part:
            backbone.quantize(store.path_of(table["backbone"]), part, recipe.backbone, weighed)
    step("connectors")
    files |= _restamped(name, table, files, out)
    for key, path in files.items():
        original = store.load_manifest(table[key])
        write_text(manifests.MANIFESTS / f"{name}-{_slug(key)}.toml", _manifest(f"{name}-{_slug(key)}", original, path))
        table[key] = f"{name}-{_slug(key)}"
    lines = [f'{key} = "{name if key == "name" else value}"' for key, value in table.items()]
    text = f"# A variant of {BASE}, made by: quantize bundle --name {name}\n" + "\n".join(lines) + "\n"
    write_text(manifests.BUNDLES / f"{name}.toml", text)
    return {
        key: {"model": table[key], "bytes": path.stat().st_size, "sha256": store.sha256_of(path)}
        for key, path in files.items()
    }


def _audio(out: Path, options: Options) -> Path:
    with whole(out) as part:
        source = part.with_name("float.onnx")
        onnx.save(whisper_encoder.build(ctranslate2.read_tensors(store.path_of(AUDIO_SOURCE))), source)
        schemes.write(schemes.prepare(source, part.parent, options, ()), part, options)
    return out


def _restamped(name: str, table: dict[str, str], files: dict[str, Path], out: Path) -> dict[str, Path]:
    """Copies of the connectors whose encoder changed, with the new encoder's space in their metadata."""
    made: dict[str, Path] = {}
    for encoder in READERS.keys() & files.keys():
        space = space_of(_IDS[encoder], files[encoder])
        for key in READERS[encoder]:
            if key not in table:
                continue
            model = onnx_file.load(store.path_of(table[key]))
            metadata = {one.key: one.value for one in model.metadata_props}
            metadata |= {"trained_on": metadata.get("trained_on", metadata["space"]), "space": space}
            helper.set_model_props(model, metadata)
            made[key] = out / f"{name}-{_slug(key)}.onnx"
            with whole(made[key]) as part:
                onnx.save(model, part)
    return made


def _slug(key: str) -> str:
    return key.replace("_", "-")


def _manifest(name: str, original: store.Manifest, path: Path) -> str:
    place = path.resolve().relative_to(sources.REPO_ROOT).as_posix()
    return f"""# Made from {original.name} by `quantize bundle`.
name = "{name}"
role = "{original.role}"
licence = "{original.licence}"
upstream = "{original.upstream}"

[[files]]
name = "{path.name}"
size_bytes = {path.stat().st_size}
sha256 = "{store.sha256_of(path)}"
sources = ["file:{place}"]
"""
