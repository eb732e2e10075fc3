"""`glasses bench WHAT`: figures for README and cards, measured on this machine."""

from __future__ import annotations

import argparse
import json
import platform

from glasses import store
from glasses.bench import latents, live, memory, recall

_EXAMPLE = """\
examples:
  glasses bench memory            resident memory with everything of the bundle loaded
  glasses bench latents --json    latents in against tokens in, and decode speed against memory bandwidth
  glasses bench wire              bytes of a turn as latents, as Opus and as JPEG
  glasses bench overlap           latents streamed during speech against all at its end, to a service
  glasses bench live              spoken to in a PulseAudio room: end of speech to first sound, CPU, memory
  glasses bench recall            held-out sounds named from memory, at once and after minutes
  glasses bench cascade           the same, turn about with Whisper's decoder -> text -> the same backbone and voice
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure this machine",
        description="Measure this machine.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("memory", "latents", "wire", "overlap", "live", "cascade", "recall"))
    parser.add_argument("--turns", type=int, default=50, metavar="N", help="live, cascade: questions (default: 50)")
    parser.add_argument("--clips", type=int, default=140, metavar="N", help="recall: sounds (default: all 140)")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints."""
    if args.what == "memory":
        figures = memory.run(args.bundle)
        text = "\n".join(f"{stage:>32}  {mb:7.1f} MB" for stage, mb in figures.items())
    elif args.what == "wire":
        from glasses.bench import wire  # noqa: PLC0415  # needs the extra `service`

        figures = wire.run(args.bundle)
        text = wire.report(figures)
    elif args.what == "overlap":
        from glasses.bench import overlap  # noqa: PLC0415  # needs the extra `service`

        figures = overlap.run(args.bundle)
        text = overlap.report(figures)
    elif args.what == "recall":
        figures = recall.run(args.bundle, args.clips)
        text = recall.report(figures)
    elif args.what in ("live", "cascade"):
        figures = live.run(args.bundle, args.turns, with_cascade=args.what == "cascade")
        text = live.report(figures)
    else:
        figures = latents.run(store.path_of(store.load_bundle(args.bundle).backbone))
        text = latents.report(figures)
    machine = f"{platform.machine()}, {platform.system()}"
    print(json.dumps({"machine": machine, **figures}) if args.json else f"{text}\n({machine})")
    return 0
