"""`glasses bench WHAT`: figures for README and cards, measured on this machine."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glasses.errors import InputError, Reason
from glasses.evaluation.bench import answers, barge_in, false_wakes, faults, latency, latents, memory, recall, soak
from glasses.evaluation.progress import Tick, progress
from glasses.model_store import store

_EXAMPLE = """\
examples:
  glasses bench memory            resident memory with everything of the bundle loaded
  glasses bench latents --json    latents in against tokens in, and decode speed against memory bandwidth
  glasses bench wire              bytes of a turn as latents, as Opus and as JPEG
  glasses bench overlap           latents streamed during speech against all at its end, to a service
  glasses bench live              spoken to in a PulseAudio room: end of speech to first sound, CPU, memory
  glasses bench live --sounds x/  and how often speech, music and noise (models.recipes.sound_fetch x) wake it, 3 hours
  glasses bench addressed --sounds x/   the latter alone
  glasses bench bargein           talked over in that room: onset of a voice to silence of the speaker, off a tape
  glasses bench ownvoice          its own voice back at -6 dB for ten minutes: what it wakes and interrupts
  glasses bench soak --minutes 60 an hour of the shipped minute as fast as it goes: growth, and a budget for each stage
  glasses bench faults            a running glasses hurt in one way after another: seconds until it is well again
  glasses bench recall            held-out sounds named from memory, at once and after minutes; which views are kept
  glasses bench cascade           the same, turn about with Whisper's decoder -> text -> the same backbone and voice
  glasses bench answers           what those two can each answer: speech, in noise too, sounds, pictures, tones of voice
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
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("--turns", type=int, default=50, metavar="N", help="live, cascade, bargein (default: 50)")
    parser.add_argument("--sounds", type=Path, nargs="+", metavar="DIR", help="live, addressed: what must not wake it")
    parser.add_argument("--hours", type=float, default=3.0, metavar="H", help="live, addressed: of it (default: 3)")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="ownvoice, soak (default: 10)")
    parser.add_argument("--clips", type=int, default=140, metavar="N", help="recall, answers: of a kind (default: 140)")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Raises InputError(BAD_INPUT) where nothing would be measured, and what the bench raises."""
    for name in ("turns", "hours", "minutes", "clips"):
        amount = getattr(args, name)
        if amount is not None and not amount > 0:
            raise InputError(Reason.BAD_INPUT, f"--{name} {amount}: more than 0")
    with progress() as tick:
        figures, text = WHAT[args.what](args, tick)
    machine = f"{platform.machine()}, {platform.system()}"
    print(json.dumps({"machine": machine, **figures}) if args.json else f"{text}\n({machine})")
    return 1 if figures.get("over") else 0


Measured = tuple[dict[str, Any], str]  # the figures, and the same for people


def _memory(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = memory.run(args.bundle)
    return figures, "\n".join(f"{stage:>32}  {mb:7.1f} MB" for stage, mb in figures.items())


def _latents(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = latents.run(store.path_of(store.load_bundle(args.bundle).backbone))
    return figures, latents.report(figures)


def _wire(args: argparse.Namespace, tick: Tick) -> Measured:
    from glasses.evaluation.bench import wire  # noqa: PLC0415  # needs the extra `service`

    figures = wire.run(args.bundle)
    return figures, wire.report(figures)


def _overlap(args: argparse.Namespace, tick: Tick) -> Measured:
    from glasses.evaluation.bench import overlap  # noqa: PLC0415  # needs the extra `service`

    figures = overlap.run(args.bundle)
    return figures, overlap.report(figures)


def _live(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = latency.run(args.bundle, args.turns, with_cascade=args.what == "cascade", tick=tick)
    if args.sounds:
        figures["addressed"] = false_wakes.run(args.bundle, args.sounds, args.hours, tick)
    return figures, latency.report(figures)


def _addressed(args: argparse.Namespace, tick: Tick) -> Measured:
    if not args.sounds:
        raise InputError(
            Reason.BAD_INPUT,
            "which sounds? --sounds DIR; python -m models.recipes.sound_fetch DIR gets some, README says more",
        )
    figures = false_wakes.run(args.bundle, args.sounds, args.hours, tick)
    return figures, latency.report(figures)


def _bargein(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = barge_in.barge_ins(args.bundle, args.turns, tick=tick)
    return figures, latency.report(figures)


def _ownvoice(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = barge_in.own_voice(args.bundle, args.minutes, tick=tick)
    return figures, latency.report(figures)


def _soak(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = soak.run(args.bundle, args.minutes, tick=tick)
    return figures, latency.report(figures)


def _faults(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = faults.run(args.bundle, tick=tick)
    return figures, faults.report(figures)


def _recall(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = recall.run(args.bundle, args.clips)
    return figures, recall.report(figures)


def _answers(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = answers.run(args.bundle, args.clips, tick=tick)
    return figures, answers.report(figures)


WHAT: dict[str, Callable[[argparse.Namespace, Tick], Measured]] = {
    "memory": _memory,
    "latents": _latents,
    "wire": _wire,
    "overlap": _overlap,
    "live": _live,
    "cascade": _live,
    "addressed": _addressed,
    "bargein": _bargein,
    "ownvoice": _ownvoice,
    "soak": _soak,
    "faults": _faults,
    "recall": _recall,
    "answers": _answers,
}
