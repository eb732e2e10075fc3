"""The benchmarks of `glasses bench`: what each measures, its options, and what it needs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasses.commands import preflight
from glasses.errors import InputError, Reason
from glasses.evaluation import questions
from glasses.evaluation.bench import (
    answers,
    arguments,
    barge_in,
    conversation,
    false_wakes,
    faults,
    figures_text,
    follow_up_answers,
    follow_ups,
    latency,
    latents,
    memory,
    recall,
    requests,
    soak,
)
from glasses.evaluation.progress import Tick
from glasses.model_store import store
from glasses.runtime.bundle_choice import measured_bundles

Measured = tuple[dict[str, Any], str]  # the figures, and the same for people


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: what it measures, the function that does, its options (names in OPTIONS), and an example."""

    help: str
    measure: Callable[[argparse.Namespace, Tick], Measured]
    options: tuple[str, ...]
    example: str
    needs: str = ""
    compares: bool = False  # without --bundle all of them, side by side


def _memory(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = memory.run(args.bundle, tick=tick)
    return figures, "\n".join(f"{stage:>32}  {mb:7.1f} MB" for stage, mb in figures.items())


def _questions(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = questions.bench(_question_bundles(args.bundle), tick)
    return figures, questions.report(figures)


def _question_bundles(named: str) -> list[str]:
    """Of "auto" those with figures that are pulled: they are compared."""
    if named != store.AUTO_BUNDLE:
        return [named]
    return [one.name for one in measured_bundles() if store.is_pulled(one)]


def _latents(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = latents.run(store.path_of(store.load_bundle(args.bundle).backbone), tick=tick)
    return figures, latents.report(figures)


def _wire(args: argparse.Namespace, tick: Tick) -> Measured:
    from glasses.evaluation.bench import wire  # noqa: PLC0415  # needs the extra `service`

    figures = wire.run(args.bundle, tick=tick)
    return figures, wire.report(figures)


def _overlap(args: argparse.Namespace, tick: Tick) -> Measured:
    from glasses.evaluation.bench import overlap  # noqa: PLC0415  # needs the extra `service`

    figures = overlap.run(args.bundle, tick=tick)
    return figures, overlap.report(figures)


def _latency(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = latency.run(
        args.bundle,
        args.turns,
        with_baseline=args.baseline,
        with_history=args.history,
        n_apps=getattr(args, "apps", 0),
        tick=tick,
    )
    if getattr(args, "sounds", None):  # the old name `live` measured both
        figures["false_wakes"] = false_wakes.run(args.bundle, args.sounds, args.hours, tick)
    return figures, figures_text.report(figures)


def _false_wakes(args: argparse.Namespace, tick: Tick) -> Measured:
    if not args.sounds:
        raise InputError(
            Reason.BAD_INPUT,
            "which sounds? --sounds DIR; python -m models.recipes.sound_fetch DIR fetches some. "
            "It also needs a wake phrase: glasses wake-word train PHRASE",
        )
    preflight.input_folders("--sounds", args.sounds)
    figures = false_wakes.run(args.bundle, args.sounds, args.hours, tick)
    return figures, figures_text.report(figures)


def _follow_ups(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = follow_ups.run(args.bundle, args.minutes, tick=tick)
    return figures, figures_text.report(figures)


def _barge_in(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = barge_in.barge_ins(args.bundle, args.turns, tick=tick)
    return figures, figures_text.report(figures)


def _echo(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = barge_in.own_voice(args.bundle, args.minutes, tick=tick)
    return figures, figures_text.report(figures)


def _soak(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = soak.run(args.bundle, args.minutes, tick=tick)
    return figures, figures_text.report(figures)


def _faults(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = faults.run(args.bundle, tick=tick)
    return figures, faults.report(figures)


def _memory_recall(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = recall.run(args.bundle, args.clips, tick=tick)
    return figures, recall.report(figures)


def _conversation(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = conversation.run(args.bundle, tick=tick)
    return figures, conversation.report(figures)


def _follow_up_answers(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = follow_up_answers.run(args.bundle, tick=tick)
    return figures, follow_up_answers.report(figures)


def _requests(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = requests.run(
        args.bundle,
        spoken=args.spoken,
        noise_db=args.noise,
        with_baseline=args.prompted,
        limit=args.limit,
        of=args.set,
        tick=tick,
    )
    return figures, requests.report(figures)


def _compare(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = answers.run(args.bundle, args.clips, tick=tick)
    return figures, answers.report(figures)


def _arguments(args: argparse.Namespace, tick: Tick) -> Measured:
    figures = arguments.run(args.bundle, with_speech=args.spoken, limit=args.limit, tick=tick)
    return figures, arguments.report(figures)


_ROOM = "Needs PulseAudio (apt-get install pulseaudio pulseaudio-utils libasound2-plugins)."
_BASELINE = "Needs the extra `baseline` and: glasses models pull whisper-tiny-en-ct2."
OPTIONS: dict[str, dict[str, Any]] = {
    "turns": {"type": int, "default": 50, "metavar": "N", "help": "turns (default: 50)"},
    "baseline": {"action": "store_true", "help": f"compare with speech recognition and text. {_BASELINE}"},
    "history": {"action": "store_true", "help": "compare with turns that do not know the turns before"},
    "apps": {"type": int, "default": 0, "metavar": "N", "help": "compare with N apps that are busy on the backbone"},
    "sounds": {"type": Path, "nargs": "+", "metavar": "DIR", "help": "folders of sound that must not wake it"},
    "hours": {"type": float, "default": 3.0, "metavar": "H", "help": "hours of these sounds (default: 3)"},
    "minutes": {"type": float, "default": 10.0, "metavar": "M", "help": "minutes (default: 10)"},
    "spoken": {"action": "store_true", "help": "spoken as well, in quiet and in noise. Debian: flite"},
    "limit": {"type": int, "default": None, "metavar": "N", "help": "at most N requests (default: all)"},
    "noise": {"type": float, "metavar": "DB", "help": "spoken, with noise so many dB below"},
    "prompted": {"action": "store_true", "help": "compare with all tools in the prompt and a grammar for the answer"},
    "set": {"choices": tuple(requests.SETS), "default": "first", "help": "which wordings (default: first)"},
    "clips": {"type": int, "default": 140, "metavar": "N", "help": "clips or pictures of a kind (default: 140)"},
}
BENCHMARKS: dict[str, Benchmark] = {
    "memory": Benchmark("resident memory with everything of a bundle loaded", _memory, (), "memory"),
    "latency": Benchmark(
        "end of speech to first audio, CPU and memory",
        _latency,
        ("turns", "baseline", "history", "apps"),
        "latency --turns 20",
        _ROOM,
    ),
    "questions": Benchmark(
        "sixty simple questions, typed: how many a bundle answers rightly", _questions, (), "questions", compares=True
    ),
    "barge-in": Benchmark(
        "onset of a voice over a reply to silence of the speaker", _barge_in, ("turns",), "barge-in --turns 20", _ROOM
    ),
    "echo": Benchmark(
        "what its own voice, back at -6 dB, wakes and interrupts", _echo, ("minutes",), "echo --minutes 10", _ROOM
    ),
    "false-wakes": Benchmark(
        "turns that speech, music and noise open, an hour",
        _false_wakes,
        ("sounds", "hours"),
        "false-wakes --sounds talk/ music/ --hours 3",
        "Needs a wake phrase: glasses wake-word train.",
    ),
    "follow-ups": Benchmark(
        "turns that a television opens after a reply, and follow-ups of the wearer that are taken",
        _follow_ups,
        ("minutes",),
        "follow-ups --minutes 10",
    ),
    "conversation": Benchmark(
        "facts stated some turns before, older turns kept, shrunk or dropped; and questions behind unrelated turns",
        _conversation,
        (),
        "conversation",
    ),
    "follow-up-answers": Benchmark(
        "pairs of turns, spoken and typed: is the second one answered alike",
        _follow_up_answers,
        (),
        "follow-up-answers",
        "Needs the extra `voice`.",
    ),
    "memory-recall": Benchmark(
        "sounds named from the memory, and which views it keeps", _memory_recall, ("clips",), "memory-recall --clips 20"
    ),
    "requests": Benchmark(
        "everyday requests for which the right tool is chosen, and false calls",
        _requests,
        ("spoken", "noise", "prompted", "limit", "set"),
        "requests --spoken --noise 10",
    ),
    "compare": Benchmark(
        "what latents and a transcript can each answer", _compare, ("clips",), "compare --clips 20", _BASELINE
    ),
    "arguments": Benchmark(
        "arguments that are found in everyday requests, given the tool that each asks for",
        _arguments,
        ("spoken", "limit"),
        "arguments --spoken",
    ),
    "latents": Benchmark(
        "prefill of latents against tokens, and decode speed against memory bandwidth", _latents, (), "latents --json"
    ),
    "wire": Benchmark("bytes of a turn as latents, as Opus and as JPEG", _wire, (), "wire"),
    "overlap": Benchmark("latents streamed during speech against all at its end", _overlap, (), "overlap"),
    "faults": Benchmark("seconds until `glasses run` is well again after each fault", _faults, (), "faults", _ROOM),
    "soak": Benchmark(
        "hours of a recorded day: growth, and a budget for each stage", _soak, ("minutes",), "soak --minutes 60"
    ),
}
