"""`glasses wake-word train PHRASE`, `show` and `delete`: the phrase that opens a turn like a touch of the button."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.commands import bundle_option, old_names, preflight
from glasses.decoders.speech import Voice
from glasses.encoders.audio import AudioEncoder
from glasses.errors import InputError, ModelError, Reason
from glasses.evaluation.progress import staged_progress
from glasses.heads import wake_word
from glasses.model_store import store
from glasses.runtime.bundle import SPARE_ONE, open_voice
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.runtime.heads import DEFAULT_WAKE_WORD, wake_word_path
from glasses.wake_word_training import phrases, train
from glasses.wake_word_training.examples import LEARNING, OTHER_SOUNDS, SAYING, Examples
from glasses.wake_word_training.voices import Say, abroad_at_hand, at_hand

_EXAMPLE = """\
examples:
  glasses wake-word train "hey glasses"                        train the wake phrase of glasses run
  glasses wake-word train "hey glasses" --recordings me/       sound files of you saying it, and nothing else
  glasses wake-word train "hey glasses" --others talk/ music/  sounds that must not wake it: half to train, half to test
  glasses wake-word train "hello max" --name max               another one: wake_word = "max" of a persona (glasses run)
  glasses wake-word show                                       the phrase, and how often it is missed
  glasses wake-word delete                                     no wake phrase any more

Training takes some minutes. More voices to train with: apt-get install espeak-ng flite.
"""
TAKES = 160
ROUNDS = 3  # of training: each adds what the one before mistook for the phrase
NEAR, EVERYDAY, BABBLE = "saying what sounds like it", "saying other things", "saying nothing"
MISTAKES = tuple(f"looking for mistakes, round {i + 1}" for i in range(ROUNDS))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `wake-word`."""
    parser = subparsers.add_parser(
        "wake-word",
        description="Choose a wake phrase and train its detector, on this machine.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, (configure, what) in _VERBS.items():
        configure(
            verbs.add_parser(verb, help=what, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
        )
    for old, verb, arguments in (("wake", "train", " PHRASE"), ("forget", "delete", "")):  # of the command `teach`
        old_names.add_command(verbs, old, f"glasses wake-word {verb}{arguments}", _VERBS[verb][0])


def _configure_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("phrase", metavar="PHRASE", help="two or three words, such as: hey glasses")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="recordings of the phrase, one a file")
    parser.add_argument(
        "--others", type=Path, nargs="+", default=[], metavar="DIR", help="sounds that must not wake it"
    )
    parser.add_argument("--takes", type=int, default=TAKES, metavar="N", help=f"takes of the phrase (default: {TAKES})")
    parser.add_argument(
        "--test-hours", type=float, default=0.1, metavar="H", help="of each kind of sound (default: 0.1)"
    )
    bundle_option.add_option(parser, default=store.AUTO_BUNDLE)
    _add_name(parser)
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.set_defaults(run=train_phrase)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", default=DEFAULT_WAKE_WORD, help=f"of several phrases, for personas (default: {DEFAULT_WAKE_WORD})"
    )


def _configure_show(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=show)


def _configure_delete(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--json", action="store_true", help="print as JSON whether there was one")
    parser.set_defaults(run=delete)


_VERBS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "train": (_configure_train, "train the detector of a phrase"),
    "show": (_configure_show, "show the phrase and what was measured"),
    "delete": (_configure_delete, "delete the phrase"),
}


def train_phrase(args: argparse.Namespace) -> int:
    """Trains, measures and keeps the detector. Raises InputError, ModelError."""
    _print(_trained(args, phrases.checked(args.phrase), wake_word_path(args.name)), as_json=args.json)
    return 0


def show(args: argparse.Namespace) -> int:
    """Prints the phrase and its figures. Raises ModelError(NOT_FOUND)."""
    path = wake_word_path(args.name)
    _print({"phrase": wake_word.load(path).phrase, **_kept_figures(path)}, as_json=args.json)
    return 0


def delete(args: argparse.Namespace) -> int:
    """Deletes the phrase; no error if there is none."""
    path = wake_word_path(args.name)
    existed = path.is_file()
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)
    if args.json:
        print(json.dumps({"deleted": existed}))
    else:
        print("the wake phrase was deleted" if existed else "there was no wake phrase to delete")
    return 0


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:>24}  {value}" for name, value in figures.items()))


def _kept_figures(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {"measured": "not known"}


def _trained(args: argparse.Namespace, phrase: str, path: Path) -> dict[str, Any]:
    """Trains and measures the detector, then writes it; returns the figures."""
    if not 20 <= args.takes <= 5000 or not 0 < args.test_hours <= 24:
        raise InputError(Reason.BAD_INPUT, "--takes is 20 to 5000, --test-hours over 0 and at most 24")
    preflight.later_folder("the model cache", path.parent)
    preflight.input_folders("--recordings", [args.recordings] if args.recordings else [])
    preflight.input_folders("--others", args.others)
    bundle = store.load_bundle(chosen_bundle(args.bundle))
    encoder = AudioEncoder(store.path_of(bundle.encoders["audio"]), n_threads=SPARE_ONE)
    detector = Vad(store.path_of(bundle.vad))
    recorded = [read_audio(path) for path in _sounds_in([args.recordings], "--recordings")] if args.recordings else []
    for folder in args.others:
        _sounds_in([folder], "--others")
    others, unheard = (train.sound_files(args.others, learn=learn) for learn in (True, False))
    began_s = time.monotonic()
    with ExitStack() as stack:
        voice = _voice(args.bundle, stack)
        learn, test = at_hand(voice)
        if not learn:
            raise ModelError(
                Reason.NOT_INSTALLED,
                "no voice to learn from: install the extra `voice`, or Debian's espeak-ng and flite",
            )
        tick = stack.enter_context(staged_progress(_stages(args.takes, args.test_hours, others=bool(args.others))))
        head, made = _learned(
            args, phrase, encoder=encoder, detector=detector, learn=learn, given=(recorded, others), tick=tick
        )
        learned_s = time.monotonic() - began_s
        hearing = train.Hearing(wake_word.WakeWordDetector(head, encoder.encode, encoder.space), detector)
        figures = _measured(args, phrase, hearing=hearing, says=(learn, test), others=unheard, tick=tick)
    figures = {
        "phrase": phrase,
        "voices": [*learn],
        "test_voices": [*test],
        "learned_from": [str(folder.resolve()) for folder in args.others],
        **made,
        "learned_s": round(learned_s),
        **figures,
    }
    with TemporaryDirectory(prefix=".wake.", dir=_made(path.parent)) as folder:
        (Path(folder) / "wake.json").write_text(json.dumps(figures))
        head.save(Path(folder) / "wake.npz")
        for name, place in (("wake.json", path.with_suffix(".json")), ("wake.npz", path)):
            (Path(folder) / name).replace(place)
    return figures


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sounds_in(folders: list[Path], option: str) -> list[Path]:
    """Raises InputError(NOT_FOUND) where there is none: minutes later it would be too late to say so."""
    if found := train.sound_files(folders):
        return found
    kinds = ", ".join(train.SOUND_SUFFIXES)
    raise InputError(Reason.NOT_FOUND, f"{option} {folders[0]}: no sound files in it ({kinds})")


def _learned(
    args: argparse.Namespace,
    phrase: str,
    *,
    encoder: AudioEncoder,
    detector: Vad,
    learn: dict[str, Say],
    given: tuple[list[Any], list[Path]],
    tick: train.Tick,
) -> tuple[wake_word.WakeWordHead, dict[str, Any]]:
    """Round after round: each knows what the one before mistook for the phrase."""
    recorded, others = given
    rng, examples = random.Random(2), Examples(phrase, encoder, learn, abroad_at_hand(learn))
    near, everyday, babble = phrases.near_misses(phrase, rng), phrases.everyday(rng), phrases.babble(rng)
    examples.positives(args.takes, recorded, tick)
    examples.negatives(near, args.takes, 3, NEAR, tick)
    examples.negatives(everyday, args.takes, 4, EVERYDAY, tick)
    examples.negatives(babble, args.takes, 4, BABBLE, tick)
    if others:
        examples.sounds(train.read_sounds(others), detector, 4 * args.takes, tick)
    head, mistakes = train.fit(examples.out, phrase, encoder.space, examples.window_s, tick=tick), 0
    for i in range(ROUNDS):
        for j, texts in enumerate((near, everyday, babble)):
            mistakes += examples.mine(
                head, texts, args.takes, _part_of(tick, MISTAKES[i], j * args.takes, 3 * args.takes)
            )
        head = train.fit(examples.out, phrase, encoder.space, examples.window_s, tick=_silent)
    labels = examples.out.labels
    made = {"windows": len(labels), "with_the_phrase": sum(labels), "mistakes_learned_from": mistakes}
    return head, made


def _stages(n: int, hours: float, *, others: bool) -> dict[str, float]:
    """The stages of training with `n` takes, each with what it costs: runs of the encoder, a spoken take being some."""
    heard = 3600 * hours * 8  # the detector looks six times a second while somebody speaks, who is made to speak too
    tested = {train.TESTING_PHRASE: 60 * 15, train.TESTING_TALK: heard} | (
        {train.TESTING_SOUNDS: heard} if others else {}
    )
    spoken = {SAYING: 9 * n, NEAR: 6 * n, EVERYDAY: 9 * n, BABBLE: 9 * n} | ({OTHER_SOUNDS: 4 * n} if others else {})
    return {**spoken, LEARNING: 0.3 * n, **dict.fromkeys(MISTAKES, 52 * n), **tested}


def _part_of(tick: train.Tick, stage: str, before: int, total: int) -> train.Tick:
    """`tick` for work that is a part of `stage`, which has `total` steps, `before` of them done already."""
    return lambda _stage, done, _total: tick(stage, before + done, total)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Training again takes no time to speak of."""


def _measured(
    args: argparse.Namespace,
    phrase: str,
    *,
    hearing: train.Hearing,
    says: tuple[dict[str, Say], dict[str, Say]],
    others: list[Path],
    tick: train.Tick,
) -> dict[str, Any]:
    """Misses, and false accepts of everyday words and of the other half of the sounds given."""
    learn, test = says
    rng = random.Random(3)
    misses, n = train.missed(hearing, phrase, test or learn, 60, tick)
    figures: dict[str, Any] = {"missed": misses, "of": n, "threshold": round(hearing.gate.head.threshold, 2)}
    talk = train.takes(test or learn, phrases.everyday(rng), 1_000_000, rng)
    figures["talk"] = [*train.false_accepts(hearing, talk, args.test_hours, tick)][-1]
    if others:
        sounds = train.read_sounds(others)
        heard = [*train.false_accepts(hearing, sounds, args.test_hours, tick, stage=train.TESTING_SOUNDS)]
        figures["other_sounds"] = heard[-1] if heard else "none of --others is kept for the test: give more files"
    if not test:
        figures["note"] = "tested with the voices it learned from: people will be missed more often"
    return figures


def _voice(bundle: str, stack: ExitStack) -> Voice | None:
    try:
        voice = open_voice(bundle, n_threads=1)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        print(f"note: without the bundle's voice: {error}", file=sys.stderr)
        return None
    stack.callback(voice.close)
    return voice
