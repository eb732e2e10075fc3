"""`glasses ask`: answers any number of sounds, pictures and texts; the answer streams to stdout."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from glasses.assistant.answer import CANNED, Times, answer, encode, no_tools, tool_said
from glasses.audio.sound_files import is_silent, read_audio, write_wav
from glasses.commands import ask_kernel, ask_tools, bundle_option, offload_options, preflight
from glasses.decoders import hud
from glasses.decoders.clauses import clauses
from glasses.errors import InputError, ModelError, Reason
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.runtime.given import Given, what_shows_something
from glasses.runtime.prompt import prompt_of
from glasses.system.board import load_board
from glasses.types import SAMPLE_RATE_HZ, Token, Turn

if TYPE_CHECKING:
    from glasses.offload.answerer import HedgedAnswerer

MAX_TOP_K = 1000  # a vocabulary has tens of thousands of tokens
MAX_HEARD_S = 120  # of each sound; more would fill the context
_EXAMPLE = """\
examples:
  glasses ask --audio question.wav                         answer what was said
  glasses ask --audio dog.ogg "What is this sound?"
  glasses ask --image photo.jpg --audio question.wav       a spoken question about a picture
  glasses ask --image sign.jpg "Read it to me."            word for word; questions about it are answered, too
  glasses ask --text "This was" --image a.jpg --text "and this" --image b.jpg "What changed?"
  glasses ask "What is the capital of France?" --json
  glasses ask --image photo.jpg --offload wss://desk:8765  a larger model may answer, see glasses serve
  glasses ask --audio question.wav --speak answer.wav --hud answer.png --board even-g1
  glasses ask "Set a timer for five minutes."              done by a tool; glasses run rings when it is up

The backbone gets everything in the order of the command line. Sounds and pictures reach it as latent vectors: no
transcript and no caption is made.
"""


class _InOrder(argparse.Action):
    """Collects the inputs of all kinds in one list, in their order."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        if values:
            kind = self.dest if self.option_strings else "text"
            namespace.parts = [*(getattr(namespace, "parts", None) or []), (kind, values)]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `ask`."""
    parser = subparsers.add_parser(
        "ask",
        description="Answer a question asked in any mix of sound files, pictures and text.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="?", action=_InOrder, metavar="TEXT", help="text; for more than one use --text")
    parser.add_argument("--text", action=_InOrder, metavar="TEXT", help="text, at this place among the inputs")
    parser.add_argument(
        "--audio", action=_InOrder, metavar="FILE", help="a sound file, of any common format and sample rate"
    )
    parser.add_argument("--image", action=_InOrder, metavar="FILE", help="a picture, of any common format")
    parser.add_argument("--speak", type=Path, metavar="OUT.wav", help="also speak the answer into this file")
    parser.add_argument(
        "--hud",
        type=Path,
        metavar="OUT.png",
        help="also draw the answer as the HUD shows it; further pages go to OUT-2.png and so on",
    )
    parser.add_argument("--board", default="desktop", help="the board whose display --hud draws (default: desktop)")
    parser.add_argument(
        "--max-tokens", type=int, default=64, metavar="N", help="length of the answer at most (default: 64)"
    )
    parser.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="with --json: also the K most likely tokens at each place"
    )
    parser.add_argument(
        "--no-tools", dest="tools", action="store_false", help="ask the model, also for what a tool would do"
    )
    parser.add_argument("--yes", action="store_true", help="agree to what a tool asks first")
    offload_options.add_options(parser)
    bundle_option.add_option(parser, default=store.AUTO_BUNDLE)
    parser.add_argument(
        "--no-kernel", action="store_true", help="load the models here, even where `glasses run` has loaded them"
    )
    parser.add_argument("--json", action="store_true", help="print answer, times, probabilities and memory as JSON")
    parser.set_defaults(run=run, parts=None)


def run(args: argparse.Namespace) -> int:
    """Answers once. Raises GlassesError for input that cannot be used, if possible before a model is loaded."""
    if not args.parts:
        raise InputError(Reason.BAD_INPUT, "nothing to answer: give TEXT, --audio FILE or --image FILE (see --help)")
    _check(args)
    notes = list[str]()
    given = [_read(kind, value, notes) for kind, value in args.parts]
    inputs, canned_reply = what_shows_something(given)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    display = load_board(args.board).require_display() if args.hud else None
    times, tokens, by = Times(), list[Token](), "this process"
    with ExitStack() as stack:
        voice = stack.enter_context(open_voice(args.bundle)) if args.speak else None
        if canned_reply:
            answered, hedged = iter([Token(1, CANNED, canned_reply, 0.0, None, last=True)]), None
        elif kernels := _answered_by_kernel(inputs, times, args, stack):
            answered, hedged, by = kernels, None, "running glasses"
        else:
            answered, hedged = _answered(inputs, times, args, stack)
        stream = stack.enter_context(closing(_collected(answered, tokens, args.json)))
        if voice:
            spoken = list(voice.speak(clauses(stream)))
            write_wav(args.speak, np.concatenate(spoken) if spoken else np.zeros(1, np.float32), voice.rate_hz)
        else:
            for _ in stream:
                pass
        report = _report(tokens, times, notes) | {"answered_by": by}
    if args.json or not tokens:
        print(json.dumps(report, ensure_ascii=False) if args.json else "", flush=True)
    if hedged:
        print(f"note: {hedged.why}", file=sys.stderr)
    for i, page in enumerate(hud.render(report["answer"], display) if display else (), 1):
        hud.write_png(args.hud if i == 1 else args.hud.with_stem(f"{args.hud.stem}-{i}"), page)
    return 0


def _answered_by_kernel(
    inputs: list[Given], times: Times, args: argparse.Namespace, stack: ExitStack
) -> Iterator[Token] | None:
    """The answer of `glasses run`, where it runs and nothing else was asked for."""
    if args.no_kernel or offload_options.given(args).url:
        return None
    return ask_kernel.answered(inputs, times, args, stack, _tell_question)


def _answered(
    inputs: list[Given], times: Times, args: argparse.Namespace, stack: ExitStack
) -> tuple[Iterator[Token], HedgedAnswerer | None]:
    """The answer of the models, which stay open as long as `stack`, and what decides between here and the service."""
    since_ns = time.monotonic_ns()
    loaded = open_bundle(args.bundle)
    stack.callback(loaded.close)
    since_ns = times.add("load", since_ns)
    encoded = tuple(part for item in inputs for part in encode(loaded, item))
    times.add("encode", since_ns)
    turn = Turn(id=1, t_ns=time.monotonic_ns(), cause="ask", inputs=encoded)
    hedged = offload_options.open_answerer(offload_options.given(args), stack)
    tools = ask_tools.opened(loaded, inputs, args, stack) if args.tools else no_tools
    if hedged and (said := tool_said(loaded, turn, tools)) is not None:  # nothing of it leaves
        return iter([Token(turn.id, CANNED, said, 0.0, None, last=True)]), None
    if hedged is None:
        how: dict[str, Any] = {"max_tokens": args.max_tokens, "top_k": args.top_k, "tools": tools}
        answered = answer(loaded, turn, times, **how, on_question=_tell_question)
    else:
        answered = _hedged(hedged, loaded, turn, times, args)
    return _if_it_fits(answered, loaded), hedged


def _check(args: argparse.Namespace) -> None:
    """Checks early what would otherwise fail after the models were loaded, or lose the answer."""
    for option, value, least, most in (("max-tokens", args.max_tokens, 1, 4096), ("top-k", args.top_k, 0, MAX_TOP_K)):
        if not least <= value <= most:
            raise InputError(Reason.BAD_INPUT, f"--{option} {value}: from {least} to {most}")
    for option, path, suffix in (("--speak", args.speak, ".wav"), ("--hud", args.hud, ".png")):
        if path is not None:
            preflight.output_file(option, path, suffix, [value for kind, value in args.parts if kind != "text"])


def _hedged(
    hedged: HedgedAnswerer, loaded: LoadedBundle, turn: Turn, times: Times, args: argparse.Namespace
) -> Iterator[Token]:
    """The answer of this device or of the remote model, as the offload policy decides."""
    if not hedged.wait_connected():
        print(f"note: {offload_options.given(args).url} cannot be reached yet", file=sys.stderr)

    def local(said: str, max_tokens: int, top_k: int) -> Iterator[Token]:
        backbone = loaded.backbone
        backbone.rollback(loaded.n_prefix)
        backbone.feed(
            [*prompt_of(loaded, turn.inputs, on_question=_tell_question), backbone.tokenize(said, special=False)]
        )
        return backbone.generate(turn.id, max_tokens=max_tokens, top_k=max(top_k, args.top_k))

    since_ns = time.monotonic_ns()
    yield from hedged.answer(turn, local, max_tokens=args.max_tokens)
    times.add("answer", since_ns)


def _tell_question(question: str) -> None:
    print(f"note: no question was asked, so this is answered: {question}", file=sys.stderr)


def _if_it_fits(answered: Iterator[Token], loaded: LoadedBundle) -> Iterator[Token]:
    """The answer; a full context becomes an error in the words of the user."""
    try:
        yield from answered
    except ModelError as error:
        if error.reason is not Reason.CONTEXT_FULL:
            raise
        raise InputError(
            Reason.CONTEXT_FULL,
            f"that is too much at once: the context holds {loaded.backbone.n_ctx} tokens and latents; "
            "give a shorter text, less sound or fewer pictures",
        ) from error


def _read(kind: str, value: str, notes: list[str]) -> Given:
    if kind == "text":
        return value
    if "://" in value:
        raise InputError(Reason.BAD_INPUT, f"{value}: addresses are not fetched; save it and give the file")
    if kind == "image":
        return read_image(Path(value), on_note=notes.append)
    pcm = read_audio(Path(value), on_note=notes.append)
    if is_silent(pcm):
        notes.append(f"{value} is silent")
    if len(pcm) > MAX_HEARD_S * SAMPLE_RATE_HZ:
        seconds = len(pcm) / SAMPLE_RATE_HZ
        notes.append(f"{value} is {seconds:.0f} s long; only its last {MAX_HEARD_S} s are heard")
    return pcm[-MAX_HEARD_S * SAMPLE_RATE_HZ :]


def _collected(stream: Iterator[Token], into: list[Token], quiet: bool) -> Generator[str]:
    """The texts of the tokens, which are kept in `into` and printed unless `quiet`; what follows has its own line."""
    try:
        for token in stream:
            into.append(token)
            if not quiet:
                print(token.text, end="", flush=True)
            yield token.text
    finally:
        if into and not quiet:
            print(flush=True)


def _report(tokens: list[Token], times: Times, notes: list[str]) -> dict[str, Any]:
    """What --json prints; the keys are stable."""
    return {
        "answer": "".join(token.text for token in tokens).strip(),
        "pieces": [
            {"token": p.token_id, "text": p.text, "logprob": round(p.logprob, 4)}
            | ({"top": [[token, round(logprob, 4)] for token, logprob in p.top]} if p.top else {})
            for p in tokens
            if p.token_id != CANNED
        ],
        "notes": notes,
        "times_ms": {stage: round(ms, 1) for stage, ms in times.stages_ms.items()},
        "memory_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
    }
