"""`quantize kernels A B`: the cosine of B to A on the int8 kernels of each kind of processor."""

from __future__ import annotations

import argparse
from itertools import islice

from glasses.model_store import store
from quantize import exact_int8, feeds, kernels, onnx_file
from quantize.commands import shared

_EXAMPLES = """\
  quantize kernels whisper-float32.onnx whisper-tiny-en-encoder-int8
  quantize kernels whisper-float32.onnx whisper-tiny-en-encoder-int8 --on avx2 --limit 10

A is the float32 reference, computed on this machine. avx2 and arm64 are emulated, some seconds an item, and need
Debian's qemu-user-static; arm64 needs $GLASSES_ARM64 as well, a folder made by hardware/arm64_root.sh.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `kernels`."""
    parser = shared.parser(subparsers, "kernels", "compare two models on the kernels of each processor", _EXAMPLES)
    parser.add_argument("a", metavar="A", help="the float32 reference")
    parser.add_argument("b", metavar="B", help="what would replace it")
    parser.add_argument("--on", nargs="+", choices=tuple(kernels.KERNELS), default=tuple(kernels.KERNELS))
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="held-out items a domain (default: 3)")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help="whose encoders feed a connector")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Raises GlassesError."""
    shared.check_least(1, limit=args.limit)
    a, b = shared.model_path(args.a), shared.model_path(args.b)
    model, other = onnx_file.load(a), onnx_file.load(b)
    onnx_file.check_pair((model, other), (a, b))
    role = feeds.role_of(model, args.bundle)
    with shared.steps() as step:
        tick = step("reading")
        items = [one.feed for one in islice(feeds.held_out(role, limit=args.limit), 4 * args.limit)]
        tick()
        step("running")
        found = kernels.compare(a, b, items, args.on)
    rows = [
        f"{name:7} cosine {one['cosine_mean']:.4f} (least {one['cosine_least']:.4f}) over {one['items']:.0f} items, "
        f"{kernels.KERNELS[name].what}"
        for name, one in found.items()
    ]
    rows.append(exact_int8.statement(other))
    shared.show({"kernels": found, "inexact": exact_int8.inexact(other)}, "\n".join(rows), as_json=args.json)
    return 0
