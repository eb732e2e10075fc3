"""`glasses replay`: runs a recorded session through the pipeline again and compares decisions and answers."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses.assistant.config import ACTIVATIONS, activation_of
from glasses.commands import bundle_option, old_names, preflight
from glasses.commands.optional_voice import open_voice_or_none
from glasses.errors import InputError, Reason
from glasses.memory.latent_memory import LatentMemory, tiers_within
from glasses.memory.writer import MemoryWriter
from glasses.model_store import store
from glasses.recording.demo_session import paced
from glasses.recording.encryption import read_private_key
from glasses.recording.mcap_file import SegmentWriter
from glasses.replay.diff import Difference, RecordedTurn, Tolerances, compare, compare_gates
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayer import ReplayEngine, Told
from glasses.replay.session import ReplayOutcome, SessionConfig, given, note, play, recorded, worn_of
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_memory
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.runtime.modalities import memory_policies

_T = TypeVar("_T")
_NAMES = [field.name for field in fields(Tolerances)]
_EXAMPLE = """\
examples:
  glasses replay ~/.local/state/glasses/recordings                   in its own time; compared with what it says itself
  glasses replay 00000007-20260301T080000Z.mcap --fast --out new.mcap
  glasses replay glasses/recording/demo --fast --compare new.mcap --tolerance answer_words=2
  glasses replay recording.mcap.sealed --decrypt-with owner.pem --fast --json

Exit code: 0 all within tolerances, 1 differences, 2 an error.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `replay`."""
    parser = subparsers.add_parser(
        "replay",
        description="Replay a recorded session through the pipeline of `glasses run`; compare decisions and answers.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="an .mcap, a folder of them, or a folder of a session")
    parser.add_argument("--fast", action="store_true", help="do not wait for the recording's own time")
    parser.add_argument("--compare", type=Path, metavar="REF", help="another recording (default: FILE itself)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write what was decided and answered as MCAP")
    parser.add_argument("--passes", type=int, default=1, metavar="N", help="play it N times, one stream (default: 1)")
    parser.add_argument("--decrypt-with", type=Path, metavar="PEM", help="private key of encrypted recordings")
    old_names.add_option(parser, "--key", "--decrypt-with", type=Path)
    parser.add_argument(
        "--activation", choices=ACTIVATIONS, help="what starts a turn (default: as it was recorded, else button)"
    )
    old_names.add_option(parser, "--address", "--activation", type=activation_of, choices=ACTIVATIONS)
    parser.add_argument("--no-voice", action="store_true", help="answers as text only")
    parser.add_argument("--tolerance", action="append", default=[], metavar="NAME=N", help=", ".join(_NAMES))
    bundle_option.add_option(parser, default=store.AUTO_BUNDLE)
    parser.add_argument("--json", action="store_true", help="print turns, differences and what it cost as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replays and compares. Raises GlassesError, before a model is loaded where that can be seen."""
    args.bundle = chosen_bundle(args.bundle)
    limits = tolerances(args.tolerance)
    if args.passes < 1:
        raise InputError(Reason.BAD_INPUT, f"--passes {args.passes}: at least 1")
    key = read_private_key(args.decrypt_with) if args.decrypt_with else None
    if args.out:
        sources = (args.file, args.compare, args.decrypt_with)
        preflight.output_file("--out", args.out, sources=[one for one in sources if one])
    worn = worn_of(args.file, key)
    # what FILE lacks is told when it is played
    before = recorded(args.compare, key) if args.compare else recorded(args.file, key, tell=logging.debug)
    seen, cost = _play(args, key, worn, len(before.turns))
    differences = compare(before.turns, _first(seen.turns, args), limits) if before.turns else []
    differences += compare_gates(before.gates, _first(seen.gates, args), limits) if before.gates else []
    if args.json:
        found = [asdict(one) for one in differences]
        told = {"turns": [_as_json(turn) for turn in seen.turns], "gates": [asdict(one) for one in seen.gates]}
        print(json.dumps({**told, "differences": found, "cost": cost}, ensure_ascii=False))
    else:
        _print(seen.turns, differences, cost, compared=bool(before.turns))
    return 0 if all(one.within for one in differences) else 1


def _first(told: list[_T], args: argparse.Namespace) -> list[_T]:
    """Those of the first pass."""
    return told[: len(told) // args.passes]


def tolerances(given: list[str]) -> Tolerances:
    """The defaults with NAME=N laid over them. Raises InputError(BAD_INPUT)."""
    values: dict[str, Any] = {}
    for one in given:
        name, _, number = one.partition("=")
        try:
            values[name] = float(number)
        except ValueError as error:
            raise InputError(Reason.BAD_INPUT, f"--tolerance {one}: NAME=N, N a number") from error
        if name not in _NAMES:
            raise InputError(Reason.BAD_INPUT, f"--tolerance {one}: known are {', '.join(_NAMES)}")
    return Tolerances(**values)


def _play(
    args: argparse.Namespace, key: X25519PrivateKey | None, worn: SessionConfig, n_compared: int
) -> tuple[ReplayOutcome, dict[str, Any]]:
    """What was seen, with the latents of the first `n_compared` turns, and what it cost."""
    with ExitStack() as stack:
        voice = None if args.no_voice else open_voice_or_none(args.bundle)
        if voice:
            stack.callback(voice.close)
        loaded = open_bundle(args.bundle)
        stack.callback(loaded.close)
        memory = stack.enter_context(_memory(loaded, worn)) if worn.memory else None
        how: dict[str, Any] = {"activation": args.activation or worn.activation, "replies_recorded": worn.replies}
        how |= {"keep_replies": worn.keep_replies, "conversation_minutes": worn.conversation_min}
        engine = ReplayEngine(loaded, voice, memory=memory, on_clock=not args.fast, **how)
        start_ns = time.monotonic_ns()
        writer = _writer(args, start_ns, stack)
        put = writer.write if writer else lambda entry: None
        process, seen, memory_mb = psutil.Process(), ReplayOutcome(), list[float]()
        cpu_s, began = time.process_time(), process.num_fds()
        events = given(args.file, key, passes=args.passes, start_ns=start_ns)

        def tell(what: Told) -> None:
            note(what, seen, start_ns)
            if isinstance(what, ReplayedReply):
                if len(seen.turns) > n_compared:
                    seen.turns[-1] = replace(seen.turns[-1], latents=())
                memory_mb.append(round(process.memory_info().rss / 1e6, 1))
                if not args.json:
                    print(f"turn {what.ended.turn.id}: {what.text or '(nothing)'}", file=sys.stderr)

        play(events if args.fast else paced(events), engine, tell, put=put)
        cost = {
            "cpu_s": round(time.process_time() - cpu_s, 2),
            "memory_mb": memory_mb,
            "descriptors": [began, process.num_fds()],
            "threads": process.num_threads(),
        }
    return seen, cost


def _memory(loaded: LoadedBundle, worn: SessionConfig) -> MemoryWriter:
    return open_memory(loaded, LatentMemory(memory_policies(), tiers=tiers_within(worn.remember_s)))


def _writer(args: argparse.Namespace, start_ns: int, stack: ExitStack) -> SegmentWriter | None:
    if args.out is None:
        return None
    part = args.out.with_name(args.out.name + ".part")
    try:
        out = part.open("wb")
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot write {args.out}: {error.strerror}") from error
    writer = SegmentWriter(out, {"origin_ns": str(start_ns), "bundle": args.bundle, "replay_of": args.file.name})

    def finish(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            writer.finish()
        out.close()
        part.replace(args.out) if kind is None else part.unlink()

    stack.push(finish)
    return writer


def _as_json(turn: RecordedTurn) -> dict[str, Any]:
    return {"decision": asdict(turn.decision), "answer": asdict(turn.answer) if turn.answer else None}


def _print(turns: list[RecordedTurn], differences: list[Difference], cost: dict[str, Any], *, compared: bool) -> None:
    for one in differences:
        if not one.within:
            print(f"turn {one.turn}, {one.what} ({one.tolerance}): {one.before!r} became {one.after!r}")
    n_out = sum(not one.within for one in differences)
    what = f"{len(differences)} compared, {n_out} out of tolerance" if compared else "nothing recorded to compare with"
    print(f"{len(turns)} turns; {what}; {cost['cpu_s']} s of CPU, {max(cost['memory_mb'], default=0)} MB at most")
