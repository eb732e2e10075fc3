"""`quantize export SOURCE --to onnx`: a float32 ONNX encoder, shapes checked, parity with the source measured."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import onnx

from glasses.errors import InputError, Reason
from quantize import export, external_data, onnx_file
from quantize.commands import shared
from quantize.files import check_out, whole

_EXAMPLES = """\
  quantize export whisper-tiny-en-ct2 --to onnx --out whisper.onnx     a model of models/manifests
  quantize export DIR/whisper-base --to onnx --out base.onnx           CTranslate2 or Hugging Face folder
  quantize export efficientnet-lite0-pth --to onnx --out lite0.onnx
  quantize export any.onnx --to onnx --dynamic x:0=batch --out any-dynamic.onnx
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `export`."""
    parser = shared.parser(subparsers, "export", "export an encoder as float32 ONNX", _EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", help="a file, a folder, or the name of a model in models/manifests")
    parser.add_argument("--to", choices=("onnx",), default="onnx")
    parser.add_argument("--dynamic", nargs="+", default=(), metavar="INPUT:AXIS=NAME", help="axes of any length")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Builds, checks, compares, then writes. Raises GlassesError."""
    axes = dict(_axis(text) for text in args.dynamic)
    path = shared.model_path(args.source)
    check_out(args.out, path)
    if path.suffix == ".onnx":
        onnx_file.load(path)
        check_out(args.out, *external_data.files_of(onnx_file.read(path), path))
    with shared.steps() as step, whole(args.out) as part:
        step("building")
        source = export.source_of(path)
        model = source.build()
        if axes:
            model = export.with_dynamic_axes(model, axes, path)
        onnx.save(model, part)
        step("checking shapes")
        shapes = export.check_runs(part)
        step("comparing with the source")
        compared = export.parity(source, part)
    figures = shared.described(args.out) | {"source": source.kind, "shapes": shapes, "parity": compared}
    shared.show(figures, _text(figures), as_json=args.json)
    return 0


def _axis(text: str) -> tuple[tuple[str, int], str]:
    match = re.fullmatch(r"(.+):(\d+)=(\w+)", text)
    if match is None:
        raise InputError(Reason.BAD_INPUT, f"--dynamic {text}: must look like x:0=batch")
    return (match[1], int(match[2])), match[3]


def _text(figures: dict[str, Any]) -> str:
    rows = [f"{figures['source']} -> {shared.line(figures)}"]
    rows += [f"  {one['inputs']} -> {one['outputs']}" for one in figures["shapes"]]
    parity = figures["parity"]
    if parity["measured"]:
        rows.append(
            f"against the source's own program: largest difference {parity['max_difference']:.2g}, "
            f"mean {parity['mean_difference']:.2g} (values are {parity['mean_size']:.2g} in the mean)"
        )
    else:
        rows.append(f"not compared with the source's own program: that needs {parity['why']}")
    return "\n".join(rows)
