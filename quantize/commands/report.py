"""`quantize report A B`: one page on what B costs against A."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from glasses.errors import InputError, Reason
from glasses.model_store import store
from quantize import page, prompts, report
from quantize.commands import shared
from quantize.files import check_out, write_text

_EXAMPLES = """\
  quantize report whisper-float32.onnx whisper-tiny-en-encoder-int8 --html report.html
  quantize report model-q8_0.gguf smollm2-135m-instruct-q4_1 --html report.html --out-json report.json
  quantize report lite0.onnx lite0-int8.onnx --limit 0 --tasks all      everything held out; takes long

A is the reference, B what would replace it: two .onnx files that take and give the same, or two .gguf files. Both may
be names of models/manifests.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `report`."""
    parser = shared.parser(subparsers, "report", "compare two models: fidelity, speed, memory, tasks", _EXAMPLES)
    parser.add_argument("a", metavar="A", help="the reference")
    parser.add_argument("b", metavar="B", help="what would replace it")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write the page here")
    parser.add_argument("--out-json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--limit", type=int, default=24, metavar="N", help="held-out items a domain; 0: all")
    parser.add_argument(
        "--tasks", default="10", metavar="N|all", help="eval items a set, 0: none (default: 10, some minutes)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="compare on this folder, not on models/eval")
    parser.add_argument("--text", type=Path, metavar="FILE", help="backbones: also on this running text")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help="the rest of the runtime (default: pocket)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures, prints the verdict, writes the page. Raises GlassesError."""
    shared.check_least(0, limit=args.limit)
    wanted = report.Wanted(
        bundle=args.bundle,
        limit=args.limit or None,
        task_limit=shared.task_limit(args.tasks),
        data=args.data,
        text=args.text,
    )
    a, b = shared.model_path(args.a), shared.model_path(args.b)
    for out in (args.html, args.out_json):
        if out:
            check_out(out, a, b, *([args.text] if args.text else []))
    if args.html and args.out_json and args.html.absolute() == args.out_json.absolute():
        raise InputError(Reason.BAD_INPUT, f"--html and --out-json are both {args.html}: name two files")
    if args.text:
        prompts.check_text(args.text)
    with shared.steps() as step:
        result = report.compare(a, b, wanted, step)
    if args.html:
        write_text(args.html, page.render(result))
    if args.out_json:
        write_text(args.out_json, json.dumps(result, indent=1, ensure_ascii=False))
    verdict = result["verdict"]
    text = [f"The better choice for a board: {verdict['better']}", *(f"  {sentence}" for sentence in verdict["why"])]
    if args.html:
        text.append(f"{args.html} has the plots")
    shared.show(result, "\n".join(text), as_json=args.json)
    return 0
