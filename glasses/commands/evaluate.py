"""`glasses evaluate`: measures a bundle on the held-out sets in models/eval; prints a table, writes JSON and a plot."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from glasses.assistant import persona
from glasses.commands import preflight
from glasses.data import data_path
from glasses.errors import InputError, ModelError, Reason
from glasses.evaluation import codes, pictures, probes, scenes, sounds, speech, text, whisper_baseline
from glasses.evaluation.progress import progress
from glasses.model_store import store
from glasses.replay.contact_sheet import Bar, Group, bar_plot
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.prompt import prompt_of
from glasses.types import Float32Array, Latents

HELD_OUT = data_path("models/eval")
SETS = ("speech", "pictures", "scenes", "sounds", "information", "codes", "text")
_EXAMPLE = """\
examples:
  glasses evaluate                      everything, about a quarter of an hour on two cores
  glasses evaluate --only pictures sounds
  glasses evaluate --limit 20           a quick look: 20 clips or pictures of each kind
  glasses evaluate --out out/eval --json  figures as JSON on stdout; eval.json and eval.png in out/eval
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        description="Measure a bundle on the held-out speech, pictures and sounds.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS, metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N items of each kind, spread over its set")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder (default: out/eval)")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--persona", metavar="NAME", help="with the system prompt of this persona (see glasses run)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes OUT/eval.json and OUT/eval.png."""
    if args.limit is not None and args.limit < 2:
        raise InputError(Reason.BAD_INPUT, f"--limit {args.limit}: at least 2, for one is held against another")
    if args.limit is not None:
        args.only = [name for name in args.only if name != "information"]  # its probe needs the whole set
    if "information" in args.only and not whisper_baseline.installed():
        raise ModelError(
            Reason.NOT_INSTALLED,
            "the information probe compares with a transcript and needs the extra `baseline`: make eval, or "
            "--only speech pictures sounds",
        )
    preflight.output_folder("--out", args.out)
    loaded = open_bundle(args.bundle, system=persona.load(args.persona).system)
    figures: dict[str, Any] = {}
    with progress() as tick:
        for name in args.only:
            done = itertools.count(1)
            figures[name] = measure(
                name, loaded, lambda name=name, done=done: tick(name, next(done), None), limit=args.limit
            )
    loaded.close()
    (args.out / "eval.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    groups = [group for name in args.only for group in _GROUPS[name](figures[name])]
    bar_plot(args.out / "eval.png", f"{args.bundle}, held-out sets", groups)
    if args.json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        _print(groups)
        print(f"{args.out / 'eval.json'} has every answer, {args.out / 'eval.png'} the picture")
    return 0


def measure(
    name: str, loaded: LoadedBundle, tick: Callable[[], None] = lambda: None, *, limit: int | None = None
) -> dict[str, Any]:
    """The figures of one of SETS, as eval.json has them."""
    return _MEASURES[name](loaded, tick, limit)


def _speech(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    figures = speech.run(loaded, HELD_OUT / "speech", tick, limit=limit)
    if limit is not None:
        return figures  # the limits beside them are of the whole set
    figures["typed limit"] = speech.typed_limit(loaded, HELD_OUT / "speech")
    if whisper_baseline.installed():
        figures["decoder limit"] = speech.decoder_limit(HELD_OUT / "speech", whisper_baseline.transcriber())
    return figures


def _pictures(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    return dict(pictures.run(loaded.encode_picture, _answer(loaded, tick), HELD_OUT / "pictures", limit=limit))


def _scenes(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    return dict(scenes.run(loaded.encode_picture, _answer(loaded, tick), limit=limit))


def _sounds(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    return dict(sounds.run(_answer(loaded, tick), loaded.encode_audio, HELD_OUT / "sounds", limit=limit))


def _codes(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    del loaded  # no model reads them
    return dict(codes.run(tick, limit=limit))


def _text(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    if loaded.text_encoder is None:
        raise InputError(Reason.BAD_INPUT, f"the bundle {loaded.bundle.name} reads no text")
    return {
        **text.read_lines(loaded.text_encoder, tick, limit=limit),
        "signs": text.ask_signs(loaded.encode_picture, _answer(loaded, tick), limit=limit),
    }


def _information(loaded: LoadedBundle, tick: Callable[[], None], limit: int | None) -> dict[str, Any]:
    if limit is not None:
        raise InputError(Reason.BAD_INPUT, "the information probe needs its whole set: --only speech pictures sounds")

    def rows(heard: Sequence[Latents]) -> Float32Array:
        tick()
        return np.concatenate([part for part in prompt_of(loaded, [*heard, ""]) if isinstance(part, np.ndarray)])

    return dict(probes.run(rows, whisper_baseline.transcriber(), loaded.encode_audio))


def _answer(loaded: LoadedBundle, tick: Callable[[], None]) -> Callable[[list[str | Latents]], str]:
    def ask(given: list[str | Latents]) -> str:
        tick()
        return speech.reply(loaded, given, 24)

    return ask


def _speech_groups(figures: dict[str, Any]) -> list[Group]:
    goals = {"synthetic, clean": 10.0, "human prompts (8 kHz)": 20.0}
    limits = figures.get("decoder limit", {})
    rates = [
        Bar(
            name, 100 * rate, goals.get(name), 100 * limits[name] if name in limits else None, "Whisper tiny.en decoder"
        )
        for name, rate in figures["word error rate"].items()
    ]
    if "typed limit" in figures:
        rates.append(Bar("the same request typed", 100 * figures["typed limit"]))
    agreement = Bar("spoken as typed", 100 * figures["agreement"], 70.0)
    return [
        Group("Repeat the words: word error rate", "%", tuple(rates), higher_is_better=False),
        Group("Spoken questions answered as typed ones", "%", (agreement,), full=100.0),
    ]


def _picture_groups(figures: dict[str, Any]) -> list[Group]:
    named = Bar("main thing named", 100 * figures["accuracy"], 60.0, 100 * figures["text_only"], "no picture")
    chance = Bar("answers held against another picture", 100 * figures["chance"])
    return [Group(f"What is in view? {figures['pictures']} photographs", "%", (named, chance), full=100.0)]


def _scene_groups(figures: dict[str, Any]) -> list[Group]:
    bars = tuple(
        Bar(kind, 100 * share, 80.0 if kind == "all" else None, 100 * figures["text_only"][kind], "no picture")
        for kind, share in figures["right"].items()
    )
    guessed = Bar("guessing", 100 * figures["chance"]["all"])
    return [Group(f"Composed views, {figures['questions']} questions", "%", (*bars, guessed), full=100.0)]


def _sound_groups(figures: dict[str, Any]) -> list[Group]:
    named = Bar("sound named", 100 * figures["accuracy"], 60.0, 100 * figures["text_only"], "no sound")
    chance = Bar("answers held against another sound", 100 * figures["chance"])
    return [Group(f"What is this sound? {figures['clips']} clips", "%", (named, chance), full=100.0)]


def _code_groups(figures: dict[str, Any]) -> list[Group]:
    bars = tuple(Bar(kind, 100 * share, 90.0 if kind == "all" else None) for kind, share in figures["read"].items())
    return [Group(f"QR and bar codes read, {figures['pictures']} views", "%", bars, full=100.0)]


def _text_groups(figures: dict[str, Any]) -> list[Group]:
    exact = Bar("all", 100 * figures["exact"], 85.0)
    found = Bar("all, whatever else was read", 100 * figures["found"])
    shown = tuple(Bar(name, 100 * share) for by in ("how", "languages") for name, share in figures[by].items())
    errors = Bar("characters wrong", 100 * figures["character error rate"], 3.0)
    signs = figures["signs"]
    right = Bar("questions about signs", 100 * signs["right"], 75.0, 100 * signs["text_only"], "no picture")
    chance = Bar("asked about another sign", 100 * signs["chance"])
    return [
        Group(f"Read exactly, {figures['lines']} lines", "%", (exact, found, *shown), full=100.0),
        Group("Character error rate", "%", (errors,), higher_is_better=False),
        Group(f"{signs['questions']} questions about text in view", "%", (right, chance), full=100.0),
    ]


def _information_groups(figures: dict[str, Any]) -> list[Group]:
    bars = tuple(
        Bar(what, 100 * probe["rows"], None, 100 * probe["transcript"], "probe on the transcript")
        for what, probe in figures.items()
    )
    return [Group("Linear probe on what reaches the backbone", "%", bars, full=100.0)]


def _print(groups: list[Group]) -> None:
    for group in groups:
        table = Table(title=group.title, title_justify="left")
        for column in ("", group.unit, "goal", "baseline or limit"):
            table.add_column(column, justify="left" if not column else "right")
        for bar in group.bars:
            goal = "" if bar.goal is None else f"{'>=' if group.higher_is_better else '<='} {bar.goal:.0f}"
            beside = "" if bar.baseline is None else f"{bar.baseline:.1f} ({bar.baseline_name})"
            table.add_row(bar.label, f"{bar.value:.1f}", goal, beside)
        Console().print(table)


_MEASURES: dict[str, Callable[[LoadedBundle, Callable[[], None], int | None], dict[str, Any]]] = {
    "speech": _speech,
    "pictures": _pictures,
    "scenes": _scenes,
    "sounds": _sounds,
    "information": _information,
    "codes": _codes,
    "text": _text,
}
_GROUPS: dict[str, Callable[[dict[str, Any]], list[Group]]] = {
    "speech": _speech_groups,
    "pictures": _picture_groups,
    "scenes": _scene_groups,
    "sounds": _sound_groups,
    "information": _information_groups,
    "codes": _code_groups,
    "text": _text_groups,
}
