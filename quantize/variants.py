"""Measures variants of the pocket bundle: bytes, memory, time, divergence, cosine and tasks of each.

Every variant is the shipped bundle with some files replaced. Only the eval sets that a replaced file can change are run
again. Times are processor time of one thread, all variants in one run, of one turn: 5 s of sound, a picture, 128 rows
in, 24 tokens out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from glasses.errors import ModelError, Reason
from glasses.model_store import ctranslate2, store
from glasses.runtime.bundle import open_bundle
from quantize import (
    backbone,
    bundle,
    divergence,
    feeds,
    fidelity,
    imatrix,
    measure,
    onnx_file,
    prompts,
    schemes,
    tasks,
    whisper_encoder,
)
from quantize.files import check_out, whole, write_text
from quantize.schemes import Options

Step = Callable[[str], Callable[[], None]]
ROLES = ("audio-encoder", "image-encoder", "backbone")
AUDIO = {
    "sound: float32": None,
    "sound: attention int8 too": Options("dynamic-int8", every_product=True),
    "sound: int8 weights only": Options("int8-weight-only"),
    "sound: float16": Options("fp16"),
}
BACKBONES = ("mixed", "Q8_0", "Q4_K_M")


@dataclass(frozen=True, slots=True)
class Variant:
    """Role -> file for what is replaced; what is not is the shipped bundle's."""

    name: str
    files: dict[str, Path]


def check(out: Path, image_float: Path | None) -> None:
    """Tries what `make` and `rows` read and write, before the minutes they take.

    Raises ModelError or InputError for a float image encoder that is none or lies where a variant's file goes, a source
    that was not pulled, a folder that cannot be written.
    """
    source = store.path_of(bundle.AUDIO_SOURCE)
    for model in store.load_bundle().models():
        if model != store.load_bundle().voice:
            for file in store.load_manifest(model).files:
                store.path_of(model, file.name)
    kept = [*(out / f"{_slug(name)}.onnx" for name in AUDIO), *(out / f"backbone-{kind}.gguf" for kind in BACKBONES)]
    given = [source] if image_float is None else [source, image_float]
    for path in (*kept, out / "measured.json", out / "importance.gguf"):
        check_out(path, *given)
    if image_float is not None:
        shipped = store.path_of(store.load_bundle().encoders["image"])
        models = (onnx_file.load(shipped), onnx_file.load(image_float))
        onnx_file.check_pair(models, (shipped, image_float))
        if onnx_file.is_quantized(models[1]):
            raise ModelError(Reason.BAD_INPUT, f"{image_float}: is quantized; --image-float is the float32 encoder")


def make(out: Path, image_float: Path | None, limit: int, step: Step) -> list[Variant]:
    """Writes the files of all variants to `out`; those that are there already stay. The first is the shipped bundle."""
    found = [Variant("as shipped", {})]
    plain = out / "sound-float32.onnx"
    if not plain.is_file():
        step("sound encoder, float32")
        with whole(plain) as part:
            onnx.save(whisper_encoder.build(ctranslate2.read_tensors(store.path_of(bundle.AUDIO_SOURCE))), part)
    for name, options in AUDIO.items():
        path = plain if options is None else out / f"{_slug(name)}.onnx"
        if options is not None and not path.is_file():
            step(name)
            with whole(path) as part:
                schemes.write(schemes.prepare(plain, part.parent, options, ()), part, options)
        found.append(Variant(name, {"audio-encoder": path}))
    if image_float:
        found.append(Variant("pictures: float32", {"image-encoder": image_float}))
    source = store.path_of(store.load_bundle().backbone)
    weighed = _importance(source, out / "importance.gguf", limit, step)
    for kind in BACKBONES:
        path = out / f"backbone-{kind}.gguf"
        if not path.is_file():
            step(f"backbone {kind}")
            with whole(path) as part:
                backbone.quantize(source, part, kind, weighed)
        found.append(Variant(f"backbone: {kind}", {"backbone": path}))
    return found


def _importance(source: Path, path: Path, limit: int, step: Step) -> imatrix.Importance:
    if not path.is_file():
        loaded = open_bundle(n_threads=1)
        try:
            turns = [prompt.parts for prompt in prompts.calibration(loaded, limit)]
        finally:
            loaded.close()
        with whole(path) as part:
            imatrix.write(imatrix.collect(source, turns, tick=step("importance matrix")), part)
    return imatrix.read(path)


def rows(
    variants: list[Variant], out: Path, *, image_float: Path | None, limit: int, task_limit: int | None, step: Step
) -> list[dict[str, Any]]:
    """One dict a variant, in order. What is measured is kept in `out`/measured.json, so that a broken run goes on.

    Raises whatever the measurements raise.
    """
    names = store.load_bundle()
    shipped = {
        "audio-encoder": store.path_of(names.encoders["audio"]),
        "image-encoder": store.path_of(names.encoders["image"]),
        "backbone": store.path_of(names.backbone),
    }
    kept = Kept(out / "measured.json")
    costs = {role: _costs(role, _files(variants, role, shipped), kept, step) for role in ROLES}
    floats = {"audio-encoder": variants[1].files["audio-encoder"], "image-encoder": image_float}
    total = sum(store.load_manifest(name).size_bytes for name in names.models())
    kld = _divergences(_files(variants, "backbone", shipped), limit, kept, step)
    base = _tasks(variants[0], task_limit, kept, step)
    first = sum(costs[role][path]["ms"] for role, path in shipped.items())
    table = []
    for variant in variants:
        files = shipped | variant.files
        turn = sum(costs[role][path]["ms"] for role, path in files.items())
        table.append(
            {
                "variant": variant.name,
                "bytes": total + sum(p.stat().st_size - shipped[r].stat().st_size for r, p in variant.files.items()),
                "resident_mb": round(sum(costs[role][path]["mb"] for role, path in files.items()), 1),
                "speed": round(first / turn, 3),
                "kld": kld[files["backbone"]],
                "cosine": _cosines(files, floats, limit, kept, step),
                "tasks": base | (_tasks(variant, task_limit, kept, step) if variant.files else {}),
            }
        )
    return table


class Kept:
    """Figures by what they are of: names, hashes and limits. A file that changed is measured again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def get(self, what: str, paths: Sequence[Path], limit: int | None, compute: Callable[[], Any]) -> Any:
        """The kept figure, or `compute`d and kept."""
        key = " ".join([what, str(limit), *(store.sha256_of(path)[:16] for path in paths)])
        if key not in self.figures:
            self.figures[key] = compute()
            write_text(self.path, json.dumps(self.figures, indent=1))
        return self.figures[key]


def _files(variants: list[Variant], role: str, shipped: dict[str, Path]) -> list[Path]:
    return list(dict.fromkeys([shipped[role], *(v.files[role] for v in variants if role in v.files)]))


def _costs(role: str, paths: list[Path], kept: Kept, step: Step) -> dict[Path, dict[str, float]]:
    """Milliseconds of all files in one paired run, and resident MB of each."""
    tick = step(f"time and memory of {role}s")
    feed = feeds.timing(onnx_file.load(paths[0]), 5) if role != "backbone" else None
    ms = kept.get("ms", paths, None, lambda: (_paired(paths, feed))["ms"])
    found = {}
    for path, one in zip(paths, ms, strict=True):
        mb = kept.get("mb", [path], None, lambda path=path: measure.resident_mb(path, feed.feed if feed else None))
        found[path] = {"ms": one, "mb": mb}
        tick()
    return found


def _paired(paths: list[Path], feed: feeds.Named | None) -> dict[str, Any]:
    return measure.encoders(paths, [feed]) if feed else measure.backbones(paths)


def _cosines(
    files: dict[str, Path], floats: dict[str, Path | None], limit: int, kept: Kept, step: Step
) -> dict[str, float]:
    found: dict[str, float] = {}
    for role, plain in floats.items():
        if plain is not None:
            found |= kept.get(
                "cosine", [plain, files[role]], limit, lambda r=role, p=plain: _cosine(p, files[r], limit, step)
            )
    return found


def _cosine(plain: Path, other: Path, limit: int, step: Step) -> dict[str, float]:
    held = feeds.held_out(feeds.role_of(onnx_file.load(plain)), limit=limit)
    lost = fidelity.compare(plain, other, held, layers=False, tick=step("cosine"))
    return {domain: round(one["outputs"]["latents"]["cosine_mean"], 5) for domain, one in lost.items()}


def _divergences(paths: list[Path], limit: int, kept: Kept, step: Step) -> dict[Path, dict[str, float]]:
    """KLD and same top token of each backbone from the first, over text, speech, sounds and pictures together."""
    turns: list[prompts.Prompt] = []  # made once, when the first is needed

    def measured(path: Path) -> dict[str, float]:
        if not turns:
            turns.extend(_turns(limit, step))
        one = divergence.compare(paths[0], path, turns, tick=step(f"divergence of {path.stem}"))["all"]
        return {"mean": round(one["kld_mean"], 4), "same_top": round(one["same_top"], 4)}

    found = {paths[0]: {"mean": 0.0, "same_top": 1.0}}
    for path in paths[1:]:
        found[path] = kept.get("kld", [paths[0], path], limit, lambda path=path: measured(path))
    return found


def _turns(limit: int, step: Step) -> Iterator[prompts.Prompt]:
    loaded = open_bundle(n_threads=1)
    try:
        tick = step("turns")
        for domain in ("text", "speech", "sounds", "pictures"):
            for prompt in prompts.held_out(loaded, domain, limit):
                yield replace(prompt, domain="all")
                tick()
    finally:
        loaded.close()


def _tasks(variant: Variant, limit: int | None, kept: Kept, step: Step) -> dict[str, float]:
    """Percent of each task that the variant's files can change; of all tasks for the shipped bundle."""
    if limit == 0:
        return {}
    names = store.load_bundle()
    bundle_files = [store.path_of(name) for name in names.models() if name != names.voice]
    role, path = next(iter(variant.files.items()), ("backbone", None))

    def measured() -> dict[str, float]:
        found = tasks.run(role, path, store.DEFAULT_BUNDLE, limit=limit, tick=step(f"tasks: {variant.name}"))
        return {name: round(one["percent"], 1) for name, one in found.items()}

    return kept.get("tasks", [*bundle_files, *variant.files.values()], limit, measured)


def markdown(table: list[dict[str, Any]]) -> str:
    """The table as README.md has it."""
    shown = [name for name in table[0]["tasks"] if "noise" not in name and "telephone" not in name]
    domains = [domain for domain in ("speech", "sounds", "pictures") if domain in table[0]["cosine"]]
    head = ["variant", "MB", "resident MB", "speed", "KLD", "same token", *(f"cosine {d}" for d in domains), *shown]
    out = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in table:
        cells = [row["variant"], f"{row['bytes'] / 1e6:.0f}", f"{row['resident_mb']:.0f}", f"{row['speed']:.2f}x"]
        cells += [f"{row['kld']['mean']:.4f}", f"{100 * row['kld']['same_top']:.1f}%"]
        cells += [f"{row['cosine'][domain]:.4f}" for domain in domains]
        cells += [f"{row['tasks'][name]:.1f}%" for name in shown]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _slug(name: str) -> str:
    return name.replace(": ", "-").replace(" ", "-")
