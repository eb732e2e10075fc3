"""`glasses models list | pull | verify | recommend`: shows the model store and fetches files into it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from glasses.model_store import store
from glasses.runtime.bundle_choice import bundle_to_pull, chosen_bundle

_EXAMPLE = """\
examples:
  glasses models list                      what there is, and what is on this machine
  glasses models pull                      fetch the bundle that fits: desk from 2 GB of memory on, else pocket
  glasses models recommend                 which bundle this machine should use, by memory and a speed that is measured
  glasses models pull whisper-tiny-en-ct2  fetch one model
  glasses models verify                    hash every file of the bundle in use again

Files are kept in $GLASSES_MODELS, else $XDG_CACHE_HOME/glasses/models, else ~/.cache/glasses/models.
verify exits with 1 if a file is absent or corrupt.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `models` and its verbs."""
    parser = subparsers.add_parser(
        "models",
        description="List, fetch and check model files.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | pull | verify | recommend")
    helps = {
        "list": "every model with its state, size and licence",
        "pull": "fetch what is missing or corrupt; goes on where it was interrupted",
        "verify": "read and hash files in full",
        "recommend": "measure this machine and say which bundle it should use",
    }
    listing, pulling, verifying, recommending = (
        verbs.add_parser(
            verb, help=text, description=text, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        for verb, text in helps.items()
    )
    for verb in (pulling, verifying):
        verb.add_argument("names", nargs="*", metavar="NAME", help="models (default: all of the bundle)")
    pulling.add_argument("--bundle", metavar="NAME", help="all models of a bundle (default: by this machine's memory)")
    verifying.add_argument("--bundle", metavar="NAME", help="all models of a bundle (default: the one in use)")
    for verb in (listing, pulling, verifying, recommending):
        verb.add_argument("--json", action="store_true", help="print the states as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carries out one verb; returns 1 from `verify` if a file is not usable. Raises GlassesError."""
    if args.verb == "list":
        _print(store.states(store.manifest_names()), as_json=args.json)
        return 0
    if args.verb == "recommend":
        # Opens models, which a pull, run with little installed, could not.
        from glasses.commands import models_recommend  # noqa: PLC0415

        return models_recommend.run(args)
    if args.verb == "pull":
        _print(_pull(_names(args, bundle_to_pull)), as_json=args.json)
        return 0
    found = store.verify(_names(args, chosen_bundle))
    _print(found, as_json=args.json)
    return 0 if all(file.state == "present" for file in found) else 1


def _names(args: argparse.Namespace, default: Callable[[], str]) -> list[str]:
    """The named models, then those of the named bundle; those of the default bundle if neither is named."""
    names = list(args.names)
    if args.bundle or not names:
        names += store.load_bundle(args.bundle or default()).models()
    return list(dict.fromkeys(names))


def _pull(names: list[str]) -> list[store.FileState]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def progress(label: str, done_bytes: int, size_bytes: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label.rpartition("/")[2], total=size_bytes)  # narrow terminals
                if not console.is_terminal and done_bytes < size_bytes:
                    print(f"fetching {label} ({_size(size_bytes)})", file=sys.stderr, flush=True)
            bars.update(tasks[label], completed=done_bytes)

        return store.pull(names, progress)


def _print(found: list[store.FileState], *, as_json: bool) -> None:
    models = [store.load_manifest(name) for name in dict.fromkeys(file.model for file in found)]
    rows = [_row(model, [file for file in found if file.model == model.name]) for model in models]
    if as_json:
        print(json.dumps({"cache": str(store.cache_dir()), "models": rows}, indent=2))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        print(
            f"{row['name']:{width}}  {row['state']:8}{_size(row['size_bytes']):>10}  {row['role']:16} {row['licence']}"
        )
        for file in row["files"]:
            if file["state"] == "corrupt":
                print(f"  corrupt: {file['path']}; run: glasses models pull {row['name']}")


def _row(model: store.Manifest, found: list[store.FileState]) -> dict[str, Any]:
    """One model as JSON. Its state is that of its worst file."""
    worst = next((s for s in ("corrupt", "absent") if any(file.state == s for file in found)), "present")
    return {
        "name": model.name,
        "state": worst,
        "role": model.role,
        "licence": model.licence,
        "upstream": model.upstream,
        "size_bytes": model.size_bytes,
        "files": [
            {
                "name": file.file.name,
                "state": file.state,
                "size_bytes": file.file.size_bytes,
                "sha256": file.file.sha256,
                "path": str(file.path),
            }
            for file in found
        ],
    }


def _size(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:,.1f} MB" if count_bytes >= 1e6 else f"{count_bytes / 1e3:,.0f} kB"
