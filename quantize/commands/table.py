"""`quantize table`: variants of the pocket bundle side by side, as the README shows them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quantize import variants
from quantize.commands import shared
from quantize.files import check_out, write_text

_EXAMPLES = """\
  quantize table --out out/variants --tasks 20
  quantize export efficientnet-lite0-pth --out lite0.onnx && quantize table --out out/variants --image-float lite0.onnx

Writes the variants' files, table.md and table.json to OUT. Files and figures of an earlier run are used again, so a
run that was interrupted goes on.
Needs: glasses models pull whisper-tiny-en-ct2.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `table`."""
    parser = shared.parser(subparsers, "table", "measure variants of the pocket bundle side by side", _EXAMPLES)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--image-float", type=Path, metavar="FILE", help="float32 image encoder (quantize export)")
    parser.add_argument("--limit", type=int, default=12, metavar="N", help="held-out items a domain (default: 12)")
    parser.add_argument("--tasks", default="20", metavar="N|all", help="eval items a set, 0: none (default: 20)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes, measures, prints. Raises GlassesError."""
    shared.check_least(1, limit=args.limit)
    task_limit = shared.task_limit(args.tasks)
    variants.check(args.out, args.image_float)
    for name in ("table.md", "table.json"):
        check_out(args.out / name)
    with shared.steps() as step:
        made = variants.make(args.out, args.image_float, args.limit, step)
        table = variants.rows(
            made, args.out, image_float=args.image_float, limit=args.limit, task_limit=task_limit, step=step
        )
    text = variants.markdown(table)
    write_text(args.out / "table.md", text + "\n")
    write_text(args.out / "table.json", json.dumps(table, indent=1))
    shared.show({"variants": table}, text, as_json=args.json)
    return 0
