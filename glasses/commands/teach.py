"""`glasses teach wake PHRASE | show | forget`: what the wearer teaches. Does NOT know how it is learned."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from glasses.audio.media import read_audio
from glasses.audio.vad import Vad
from glasses.decoders.speech import Voice
from glasses.encoders.audio import AudioEncoder
from glasses.errors import InputError, ModelError, Reason
from glasses.evaluation.progress import progress
from glasses.heads import wake_word as gate
from glasses.model_store import store
from glasses.runtime.bundle import SPARE_ONE, open_voice, wake_word_path
from glasses.wake_word_training import phrases, train
from glasses.wake_word_training.examples import Examples
from glasses.wake_word_training.voices import Say, abroad_at_hand, at_hand

_EXAMPLE = """\
examples:
  glasses teach wake "hey glasses"                          choose and learn a wake phrase: glasses run opens for it
  glasses teach wake "hey glasses" --recordings me/         sound files of you saying it, and nothing else, beside that
  glasses teach wake "hey glasses" --others talk/ music/    sounds that must not wake it: half learned, half to test
  glasses teach show                                        the phrase, and what was measured
  glasses teach forget                                      none any more

It takes some minutes. More voices to learn from: apt-get install espeak-ng flite.
"""
TAKES = 160
ROUNDS = 3  # of looking for what is mistaken for the phrase


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `teach`."""
    parser = subparsers.add_parser(
        "teach",
        help="choose a wake phrase",
        description="Choose a wake phrase and train the glasses to it, here and now.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("wake", "show", "forget"))
    parser.add_argument("phrase", nargs="?", help="two or three words, such as: hey glasses")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="recordings of the phrase, one a file")
    parser.add_argument(
        "--others", type=Path, nargs="+", default=[], metavar="DIR", help="sounds that must not wake it"
    )
    parser.add_argument("--takes", type=int, default=TAKES, metavar="N", help=f"takes of the phrase (default: {TAKES})")
    parser.add_argument(
        "--test-hours", type=float, default=0.1, metavar="H", help="of each kind of sound (default: 0.1)"
    )
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Teaches, shows or forgets. Raises InputError, ModelError."""
    path = wake_word_path()
    if args.what == "wake":
        if args.phrase is None:
            raise InputError(Reason.BAD_INPUT, 'which phrase? For example: glasses teach wake "hey glasses"')
        figures = _taught(args, phrases.checked(args.phrase), path)
    elif args.what == "forget":
        known = path.is_file()
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        figures = {"forgotten": known}
    else:
        figures = {"phrase": gate.load(path).phrase, **_kept_figures(path)}
    if args.json:
        print(json.dumps(figures))
    elif args.what == "forget":
        print("the wake phrase is forgotten" if figures["forgotten"] else "there was no wake phrase to forget")
    else:
        print("\n".join(f"{name:>24}  {value}" for name, value in figures.items()))
    return 0


def _kept_figures(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {"measured": "not known"}


def _taught(args: argparse.Namespace, phrase: str, path: Path) -> dict[str, Any]:
    """Learns, measures, and only then keeps."""
    if not 20 <= args.takes <= 5000 or not 0 < args.test_hours <= 24:
        raise InputError(Reason.BAD_INPUT, "--takes is 20 to 5000, --test-hours over 0 and at most 24")
    bundle = store.load_bundle(args.bundle)
    encoder = AudioEncoder(store.path_of(bundle.encoders["audio"]), n_threads=SPARE_ONE)
    detector = Vad(store.path_of(bundle.vad))
    recorded = [read_audio(path) for path in train.sound_files([args.recordings])] if args.recordings else []
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
        tick = stack.enter_context(progress())
        head, made = _learned(
            args, phrase, encoder=encoder, detector=detector, learn=learn, given=(recorded, others), tick=tick
        )
        learned_s = time.monotonic() - began_s
        hearing = train.Hearing(gate.WakeWordDetector(head, encoder.encode, encoder.space), detector)
        figures = _measured(args, phrase, hearing=hearing, says=(learn, test), others=unheard, tick=tick)
    head.save(path)
    figures = {
        "phrase": phrase,
        "voices": [*learn],
        "test_voices": [*test],
        "learned_from": [str(folder.resolve()) for folder in args.others],
        **made,
        "learned_s": round(learned_s),
        **figures,
    }
    path.with_suffix(".json").write_text(json.dumps(figures))
    return figures


def _learned(
    args: argparse.Namespace,
    phrase: str,
    *,
    encoder: AudioEncoder,
    detector: Vad,
    learn: dict[str, Say],
    given: tuple[list[Any], list[Path]],
    tick: train.Tick,
) -> tuple[gate.WakeWordHead, dict[str, Any]]:
    """Round after round: each knows what the one before mistook for the phrase."""
    recorded, others = given
    rng, examples = random.Random(2), Examples(phrase, encoder, learn, abroad_at_hand(learn))
    near, everyday, babble = phrases.near_misses(phrase, rng), phrases.everyday(rng), phrases.babble(rng)
    examples.positives(args.takes, recorded, tick)
    examples.negatives(near, args.takes, 3, "saying what sounds like it", tick)
    examples.negatives(everyday, args.takes, 4, "saying other things", tick)
    examples.negatives(babble, args.takes, 4, "saying nothing", tick)
    if others:
        examples.sounds(train.read_sounds(others), detector, 4 * args.takes, tick)
    head, mistakes = train.fit(examples.out, phrase, encoder.space, examples.window_s, tick=tick), 0
    for _ in range(ROUNDS):
        for texts in (near, everyday, babble):
            mistakes += examples.mine(head, texts, args.takes, tick)
        head = train.fit(examples.out, phrase, encoder.space, examples.window_s, tick=tick)
    labels = examples.out.labels
    made = {"windows": len(labels), "with_the_phrase": sum(labels), "mistakes_learned_from": mistakes}
    return head, made


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
        figures["other_sounds"] = [*train.false_accepts(hearing, train.read_sounds(others), args.test_hours, tick)][-1]
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
