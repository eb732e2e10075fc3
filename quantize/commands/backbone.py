"""`quantize backbone` and `quantize imatrix`: a smaller GGUF, and what its rounding errors are weighed with."""

from __future__ import annotations

import argparse
from pathlib import Path

from glasses.backbone.inputs import ModelInput
from glasses.errors import InputError, Reason
from glasses.model_store import store
from glasses.runtime import bundle
from quantize import backbone, imatrix, prompts
from quantize.commands import shared
from quantize.files import check_out, whole

_BACKBONE = """\
  quantize backbone smollm2-135m-instruct-q4_1 --type Q8_0 --out smollm2-q8_0.gguf
  quantize backbone model.gguf --type Q4_K_M --imatrix model.imatrix.gguf --out model-q4_k_m.gguf
  quantize backbone model.gguf --type mixed     4 bits in the layers, 5 in the token table

A source that is quantized itself (not F32, F16 or BF16) is unpacked first: what it lost stays lost.
"""
_IMATRIX = """\
  quantize imatrix smollm2-135m-instruct-q4_1 --text calibration.txt --latents --out model.imatrix.gguf

--latents adds turns as `glasses` feeds them: latents of sounds and pictures that are not held out, with the answers.
The file has llama-imatrix's form; llama-quantize reads it too.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `backbone` and `imatrix`."""
    parser = shared.parser(subparsers, "backbone", "quantize a GGUF backbone through llama.cpp", _BACKBONE)
    parser.add_argument("--type", required=True, help="Q8_0, Q4_K_M, ... or mixed")
    parser.add_argument("--imatrix", type=Path, metavar="FILE", help="importance matrix from `quantize imatrix`")
    parser.set_defaults(run=run)
    collecting = shared.parser(subparsers, "imatrix", "collect an importance matrix from text and latents", _IMATRIX)
    collecting.add_argument("--text", type=Path, metavar="FILE", help="plain text to read")
    collecting.add_argument("--latents", action="store_true", help="read latents as the backbone will")
    collecting.add_argument("--limit", type=int, default=48, metavar="N", help="of each kind (default: 48)")
    collecting.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help="whose encoders and connectors make latents")
    collecting.set_defaults(run=run_imatrix)
    for one in (parser, collecting):
        one.add_argument("model", metavar="MODEL.gguf", help="a file, or the name of a model in models/manifests")
        one.add_argument("--out", type=Path, metavar="FILE", help="(default: named after MODEL, in this folder)")


def run(args: argparse.Namespace) -> int:
    """Quantizes. Raises GlassesError, before anything is written where that can be seen."""
    source = shared.model_path(args.model)
    backbone.check_type(args.type)
    out = args.out or Path(f"{source.stem}-{args.type}.gguf")
    check_out(out, source, *([args.imatrix] if args.imatrix else []))
    importance = imatrix.read(args.imatrix) if args.imatrix else None
    with shared.steps() as step, whole(out) as part:
        step(f"llama.cpp writes {args.type}")
        backbone.quantize(source, part, args.type, importance)
    figures = shared.described(out) | {"tensors": backbone.tensor_types(out)}
    kinds = ", ".join(f"{count} {kind}" for kind, count in figures["tensors"].items())
    shared.show(figures, f"{shared.line(figures)}\ntensors: {kinds}", as_json=args.json)
    return 0


def run_imatrix(args: argparse.Namespace) -> int:
    """Collects. Raises GlassesError; InputError(BAD_INPUT) with neither text nor latents."""
    shared.check_least(1, limit=args.limit)
    if not args.text and not args.latents:
        raise InputError(Reason.BAD_INPUT, "nothing to read: give --text FILE, --latents, or both")
    source = shared.model_path(args.model)
    backbone.check(source)
    out = args.out or Path(f"{source.stem}.imatrix.gguf")
    check_out(out, source, *([args.text] if args.text else []))
    if args.text:
        prompts.check_text(args.text)
    with shared.steps() as step:
        given, datasets = _prompts(args, step("prompts"))
        importance = imatrix.collect(source, given, tick=step("importance"))
        importance.datasets = datasets
        with whole(out) as part:
            imatrix.write(importance, part)
    figures = shared.described(out) | {"matrices": len(importance.sums), "rows": max(importance.counts.values())}
    shared.show(
        figures,
        f"{shared.line(figures)}\n{figures['matrices']} matrices, {figures['rows']} rows of {', '.join(datasets)}",
        as_json=args.json,
    )
    return 0


def _prompts(
    args: argparse.Namespace, tick: shared.Callable[[], None]
) -> tuple[list[tuple[ModelInput, ...]], list[str]]:
    """Turns are answered by the bundle's own backbone, whichever one is calibrated: they share a vocabulary or fail."""
    parts = bundle.open_bundle(args.bundle, n_threads=1)
    found: list[tuple[ModelInput, ...]] = []
    try:
        if args.text:
            for prompt in prompts.texts(args.text, parts, args.limit):
                found.append(prompt.parts)
                tick()
        if args.latents:
            for prompt in prompts.calibration(parts, args.limit):
                found.append(prompt.parts)
                tick()
    finally:
        parts.close()
    names = [args.text.name] if args.text else []
    return found, [*names, f"latents of bundle {args.bundle}"] if args.latents else names
