"""`quantize plan --board NAME`: which bundles fit a board, and how long a turn would take there."""

from __future__ import annotations

import argparse
from typing import Any

from glasses.errors import ModelError, Reason
from glasses.model_store import store
from quantize import bundle, plan, processors
from quantize.commands import shared

_EXAMPLES = """\
  quantize plan --board zero2w
  quantize plan --board pi5 --bundle pocket --json

Without --bundle also what `quantize bundle --board` can make of the base bundle: that takes some minutes.
Memory is measured on this machine; times are ESTIMATES, scaled from it by the peaks in hardware/boards/NAME.toml.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `plan`."""
    parser = shared.parser(subparsers, "plan", "estimate which bundles fit a board", _EXAMPLES)
    parser.add_argument("--board", required=True, help="a file in hardware/boards, without .toml")
    parser.add_argument("--bundle", nargs="+", metavar="NAME", help="(default: all in models/bundles)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures here, scales, prints. Raises GlassesError."""
    processors.board_compute(args.board)
    names = args.bundle or store.bundle_names()
    rows, absent = [], []
    with shared.steps() as step:
        for name in names:
            try:
                variants = not args.bundle and name == bundle.BASE
                rows += plan.estimates(name, args.board, variants=variants, step=step)
            except ModelError as error:
                if error.reason is not Reason.NOT_FOUND or args.bundle:
                    raise
                absent.append(f"{name}: {error}")
    options = processors.session_options(args.board)
    figures = {"board": args.board, "variants": rows, "not here": absent, "onnxruntime": options}
    shared.show(figures, _text(figures), as_json=args.json)
    return 0


def _text(figures: dict[str, Any]) -> str:
    out = [f"ESTIMATES for {figures['board']} (a turn: {plan.TURN_S} s of sound, a picture, {plan.TURN_TOKENS} tokens)"]
    for row in figures["variants"]:
        misses = [what for what, fits in row["fits"].items() if not fits]
        memory = ", ".join(f"{mb} MB {what}" for what, mb in row["memory_mb"].items())
        fits = "fits" if not misses else f"does NOT fit: {', '.join(misses)}"
        out.append(f"{row['bundle']}, {row['variant']}: {fits}")
        turn = f"a turn {row['estimated_ms']['turn'] / 1e3:.1f} s, {row['estimated_joules']} J"
        out.append(f"  {row['storage_mb']} MB stored, {memory}, and {plan.RESERVED_MB} for the system; {turn}")
        if row["variant"] == plan.AS_IT_IS:
            out.append("  " + ", ".join(f"{what} {ms:,} ms" for what, ms in row["estimated_ms"].items()))
    fitting = [row for row in figures["variants"] if all(row["fits"].values())]
    quickest = min(fitting, key=lambda row: row["estimated_ms"]["turn"], default=None)
    out.append(f"quickest that fits: {quickest['command']}" if quickest else "none of these fits this board whole")
    out += [f"not estimated, {line}" for line in figures["not here"]]
    out.append("onnxruntime on this board:")
    out += [f"  {name} = {value}: {why}" for name, (value, why) in figures["onnxruntime"].items()]
    return "\n".join(out)
