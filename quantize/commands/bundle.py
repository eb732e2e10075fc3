"""`quantize bundle --board NAME`: makes and hashes a whole bundle, with manifests that `glasses` reads."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from glasses.model_store import store, user_bundles
from quantize import bundle
from quantize.commands import shared

_EXAMPLES = """\
  quantize bundle --board zero2w                      pocket-zero2w: smaller and faster, as the board needs it
  quantize bundle --board pi5 --name mine && glasses ask --bundle mine --audio question.wav
  quantize bundle --board pi5 --scheme int8-weight-only --backbone Q8_0
  quantize bundle --name pocket --photos DIR/photos   the shipped encoders made again: are the hashes the same?

Needs `glasses models pull whisper-tiny-en-ct2`; pocket also yamnet-onnx, --photos also efficientnet-lite0-pth.
Everything goes to a folder of the bundle's name in the cache of models, or to the one that --out names.
"""


def add_parser(subparsers: shared.Subparsers) -> None:
    """Adds `bundle`."""
    parser = shared.parser(
        subparsers, "bundle", "make a whole bundle for a board, hashed and with manifests", _EXAMPLES
    )
    parser.add_argument("--board", default="pi5", help="a file in hardware/boards, without .toml (default: pi5)")
    parser.add_argument("--name", help="of the bundle (default: pocket-BOARD); `pocket` checks the shipped one")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder (default: one in the cache of models)")
    parser.add_argument("--scheme", choices=bundle.SCHEMES, help="of the audio encoder (default: as plan advises)")
    parser.add_argument("--backbone", metavar="TYPE", help="Q8_0, mixed, shipped, ... (default: by the board's memory)")
    parser.add_argument("--imatrix", type=Path, metavar="FILE", help="for a backbone that is quantized")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="what pocket's image encoder is calibrated with")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes the bundle; 1 if the shipped one could not be made the same. Raises GlassesError."""
    name = args.name or f"{bundle.BASE}-{args.board}"
    if name == store.DEFAULT_BUNDLE:
        with shared.steps() as step, tempfile.TemporaryDirectory() as scratch:
            rows = bundle.rebuild_pocket(args.photos, Path(scratch), step)
        text = "\n".join(f"{row['model']}: {row['result']} {row.get('sha256', '')}".rstrip() for row in rows)
        shared.show({"bundle": name, "models": rows}, text, as_json=args.json)
        return int(any("DIFFERS" in row["result"] for row in rows))
    recipe = bundle.recipe_for(args.board, args.scheme, args.backbone)
    folder = bundle.folder_for(name, args.out)
    bundle.check(recipe, args.imatrix)
    linked = f" and a link to it, {user_bundles.folder_of(name)}" if args.out else ""
    print(f"makes {bundle.described(recipe)}\nwrites {folder}{linked}; nothing else", file=sys.stderr)
    with shared.steps() as step:
        made = bundle.make(name, recipe, importance=args.imatrix, out=args.out, step=step)
    rows = [f"{one['model']}: {one['bytes'] / 1e6:.1f} MB, sha256 {one['sha256']}" for one in made.values()]
    rows.append(f"{folder} is written: glasses ask --bundle {name} ...")
    figures = {"bundle": name, "board": args.board, "folder": str(folder), "made": made}
    shared.show(figures, "\n".join(rows), as_json=args.json)
    return 0
