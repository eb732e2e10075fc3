"""`glasses bench BENCHMARK`: measures this machine. `glasses/evaluation/README.md` explains each figure."""

from __future__ import annotations

import argparse
import json
import platform

from glasses.commands import old_names
from glasses.commands.benchmarks import BENCHMARKS, OPTIONS, Benchmark
from glasses.errors import InputError, Reason
from glasses.evaluation.progress import progress
from glasses.model_store import store

_EXAMPLE = """\
examples:
  glasses bench memory                      resident memory with everything of the bundle loaded
  glasses bench latency --turns 20          spoken to in a virtual room: end of speech to first audio
  glasses bench latency --baseline --json   the same in turn with speech recognition and text, as JSON
  glasses bench false-wakes --help          what this benchmark needs, and its options
"""
# Old name: what to type instead, and options that only the old name has.
_OLD_NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "live": ("latency", ("sounds", "hours")),
    "cascade": ("latency --baseline", ("sounds", "hours")),
    "bargein": ("barge-in", ()),
    "ownvoice": ("echo", ()),
    "addressed": ("false-wakes", ()),
    "recall": ("memory-recall", ()),
    "answers": ("compare", ()),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `bench`, with a subcommand for each benchmark."""
    parser = subparsers.add_parser(
        "bench",
        description="Measure this machine.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, one in BENCHMARKS.items():
        configure(
            benchmarks.add_parser(
                name,
                help=one.help,
                description=f"{one.help[0].upper()}{one.help[1:]}. {one.needs}".strip(),
                epilog=f"example:\n  glasses bench {one.example}",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            ),
            one,
        )
    for old, (new, options) in _OLD_NAMES.items():
        one = BENCHMARKS[new.split()[0]]
        alias = old_names.add_command(
            benchmarks, old, f"glasses bench {new}", lambda parser, one=one: configure(parser, one)
        )
        for name in options:
            alias.add_argument(f"--{name}", **OPTIONS[name])
        alias.set_defaults(baseline=new.endswith("--baseline"))


def configure(parser: argparse.ArgumentParser, one: Benchmark) -> None:
    """Adds the options of one benchmark."""
    for name in one.options:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    default, means = (store.AUTO_BUNDLE, "all that are pulled") if one.compares else (store.DEFAULT_BUNDLE,) * 2
    parser.add_argument("--bundle", default=default, help=f"(default: {means})")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=lambda args: run(args, one))


def run(args: argparse.Namespace, one: Benchmark) -> int:
    """Measures and prints; 1 if a budget was exceeded.

    Raises InputError(BAD_INPUT) where nothing would be measured, and what the benchmark raises.
    """
    for name in ("turns", "hours", "minutes", "clips"):
        amount = getattr(args, name, 1)
        if not amount > 0:
            raise InputError(Reason.BAD_INPUT, f"--{name} {amount}: more than 0")
    with progress() as tick:
        figures, text = one.measure(args, tick)
    machine = f"{platform.machine()}, {platform.system()}"
    print(json.dumps({"machine": machine, **figures}) if args.json else f"{text}\n({machine})")
    return 1 if figures.get("over") else 0
