"""`quantize encoder` and `quantize connector`: one float ONNX file in, one smaller one out, with what it lost."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from glasses.errors import InputError, Reason
from glasses.model_store import store
from quantize import exclusion, external_data, feeds, fidelity, float32, onnx_file, schemes, unpack
from quantize.commands import shared
from quantize.files import check_out, whole
from quantize.schemes import METHODS, SCHEMES, Options

CHOSEN_FEEDS = 24  # of the calibration data, on which --auto-exclude decides
_ENCODER = """\
  quantize encoder whisper.onnx --scheme dynamic-int8 --out whisper-int8.onnx
  quantize encoder lite0.onnx --scheme static-qdq --calibration DIR/photos --auto-exclude --out lite0-int8.onnx
  quantize encoder lite0.onnx --scheme static-qdq --calibration bundle --method entropy --exclude conv0 conv1

--calibration takes a folder of the files that the model hears or sees, or `bundle`: what this repository holds that is
not held out. Models of other inputs are calibrated with .npz files, one array an input.

exit status: 0 the target is met, 1 the file is written but misses it, 2 an error, and nothing is written
"""
_CONNECTOR = """\
  quantize connector connector.onnx --scheme fp16 --out connector-fp16.onnx
  quantize connector image-connector-pocket --scheme dynamic-int8 --out connector-int8.onnx

A connector that is int8 already is unpacked to the float32 values it stands for, then made anew.

exit status: 0 the target is met, 1 the file is written but misses it, 2 an error, and nothing is written
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `encoder` and `connector`."""
    encoder = shared.parser(subparsers, "encoder", "quantize an encoder and say what it lost", _ENCODER)
    encoder.add_argument("--scheme", choices=SCHEMES, required=True)
    encoder.add_argument("--calibration", metavar="DIR|bundle", help="what static-qdq takes its ranges from")
    encoder.add_argument("--samples", type=int, metavar="N", help="calibrate on at most N inputs (default: all)")
    encoder.add_argument("--method", choices=tuple(METHODS), default="minmax", help="of calibration (default: minmax)")
    encoder.add_argument("--per-channel", action=argparse.BooleanOptionalAction, default=True, help="(default: yes)")
    encoder.add_argument("--activations", choices=("int8", "uint8"), default="int8", help="of static-qdq")
    encoder.add_argument("--every-product", action="store_true", help="dynamic-int8: attention's own products too")
    excluding = encoder.add_mutually_exclusive_group()
    excluding.add_argument("--exclude", nargs="+", default=(), metavar="NODE", help="leave these nodes in float")
    excluding.add_argument("--auto-exclude", action="store_true", help="leave the worst in float until --target holds")
    connector = shared.parser(subparsers, "connector", "quantize a connector and say what it lost", _CONNECTOR)
    connector.add_argument("--scheme", choices=("fp16", "dynamic-int8", "int8-weight-only"), required=True)
    for parser in (encoder, connector):
        parser.add_argument("model", metavar="MODEL.onnx", help="a file, or the name of a model in models/manifests")
        parser.add_argument("--target", type=float, default=fidelity.COSINE_TARGET, help="cosine (default: 0.99)")
        parser.add_argument("--out", type=Path, metavar="FILE", help="(default: in this folder, named by the scheme)")
        parser.add_argument("--limit", type=int, default=24, metavar="N", help="compare on N items a domain")
        parser.add_argument("--data", type=Path, metavar="DIR", help="compare on this folder, not on models/eval")
        parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help="whose encoders feed a connector")
    encoder.set_defaults(run=run)
    connector.set_defaults(run=run_connector)


def run(args: argparse.Namespace) -> int:
    """Quantizes an encoder; 1 if it misses the target. Raises GlassesError, and then nothing is written."""
    options = Options(
        args.scheme, args.per_channel, args.method, args.activations, args.every_product, tuple(args.exclude)
    )
    return _quantize(args, shared.model_path(args.model), options)


def run_connector(args: argparse.Namespace) -> int:
    """Quantizes a connector. Returns and raises as `run`."""
    args.calibration = args.samples = None
    args.auto_exclude = False
    return _quantize(args, shared.model_path(args.model), Options(args.scheme))


def _quantize(args: argparse.Namespace, source: Path, options: Options) -> int:
    shared.check_least(1, limit=args.limit, samples=args.samples)
    if not 0 < args.target <= 1:
        raise InputError(Reason.BAD_INPUT, f"--target {args.target}: a cosine above 0 and at most 1")
    out = args.out or Path(f"{source.stem}-{options.scheme}.onnx")
    check_out(out, source)
    model = onnx_file.load(source)
    check_out(out, *external_data.files_of(onnx_file.read(source), source))
    role = feeds.role_of(model, args.bundle)
    _check_data(role, args)
    if options.scheme == "static-qdq" and not args.calibration:
        raise InputError(Reason.BAD_INPUT, "static-qdq needs calibration data: --calibration DIR or bundle")
    with shared.steps() as step:
        with whole(out) as part:
            if role.name.endswith("connector") and onnx_file.is_quantized(model):
                source = unpack.to_float(model, part.with_name("float.onnx"))
            splits = options.scheme in ("dynamic-int8", "int8-weight-only")
            source, changed = float32.plain(onnx_file.load(source), source, part.parent, split_gemm=splits)
            data = feeds.calibration(role, args.calibration, limit=args.samples) if args.calibration else iter(())
            prepared = schemes.prepare(source, part.parent, options, data, step("calibration"))
            ranking: list[tuple[str, float]] = []
            if args.auto_exclude:
                few = feeds.sample(role, args.calibration or feeds.BUNDLE, CHOSEN_FEEDS)
                excluded, ranking = exclusion.choose(
                    prepared, options, few, part.parent, target=args.target, tick=step("error of each node")
                )
                options = replace(options, exclude=excluded)
            schemes.write(prepared, part, options)
            held = feeds.held_out(role, limit=args.limit, folder=args.data)
            lost = fidelity.compare(source, part, held, layers=False, tick=step("comparing"))
        figures = shared.described(out) | {"excluded": list(options.exclude), "ranking": ranking, "fidelity": lost}
        figures |= {"changed first": changed}
    figures |= {"target": args.target, "least_cosine": fidelity.least_cosine(lost)}
    shared.show(figures, _text(figures), as_json=args.json)
    return int(figures["least_cosine"] < args.target)


def _check_data(role: feeds.Role, args: argparse.Namespace) -> None:
    """Raises InputError for a folder that the data cannot come from, before the minutes that come first."""
    if args.calibration:
        feeds.files(role, args.calibration)
    feeds.check_held_out(role, args.data)


def _text(figures: dict[str, Any]) -> str:
    rows = [shared.line(figures), *(f"first, {one}" for one in figures["changed first"])]
    if figures["excluded"]:
        rows.append(f"left in float: {', '.join(figures['excluded'])}")
    for name, error in figures["ranking"][:8]:
        rows.append(f"  {name:24} adds {100 * error:.3f}% of the output's power as noise")
    for domain, found in figures["fidelity"].items():
        for name, one in found["outputs"].items():
            rows.append(
                f"{domain}: {name}: cosine {one['cosine_mean']:.4f} (least {one['cosine_least']:.4f}), "
                f"SNR {one['snr_db']:.1f} dB over {found['files']} items"
            )
    least, target = figures["least_cosine"], figures["target"]
    rows.append(f"cosine {target}: {'met' if least >= target else f'MISSED ({least:.4f}): try --auto-exclude'}")
    return "\n".join(rows)
