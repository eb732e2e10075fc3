"""`glasses run`: wears the glasses: listens, watches and answers until it is told to stop."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from glasses import store
from glasses.app import Parts, open_parts, open_turn_end, open_voice
from glasses.decoders.speech import Voice
from glasses.ear import Ear, Ended, ReplyState, Told
from glasses.errors import ModelError, Reason
from glasses.gates.ring import RATE_HZ
from glasses.gates.turns import TurnGate
from glasses.gates.voice import VoiceDetector
from glasses.listen import Button
from glasses.live import DeviceChange, Devices, Live
from glasses.loop import Times, answer
from glasses.mouth import Reply
from glasses.types import Turn
from glasses.watchdog import Notifier, Watchdog

BUDGETS_S = {"ear": 3.0, "mouth": 20.0}  # without progress for so long, a stage hangs
# What --inject does to a running spine: the real thing, as a device or a bug would.
INJECTED: dict[str, Callable[[Live], None]] = {
    "microphone-gone": lambda live: live.microphone.close() if live.microphone else None,
    "speaker-gone": lambda live: live.speaker.close() if live.speaker else None,
    "ear-hangs": lambda live: live.hang("ear"),
    "mouth-hangs": lambda live: live.hang("mouth"),
}
_EXAMPLE = """\
examples:
  glasses run                                  Enter is a touch: speak, and it answers; talk over it and it falls silent
  glasses run --address speech                 no touch: everything that is said is for it
  glasses run --mic "USB" --speaker headset    devices whose name contains this (glasses devices lists them)
  glasses run --camera 0 --json                with a camera (l and Enter: look at this), one JSON line for each event

keys (each with Enter): nothing or t touch, l look, m mute, q quit. Signals: USR1 touch, USR2 look, INT and TERM quit.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `run`."""
    parser = subparsers.add_parser(
        "run",
        help="listen, watch and answer",
        description="Listen, watch and answer until told to stop.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mic", metavar="NAME", help="a microphone whose name contains NAME")
    parser.add_argument("--speaker", metavar="NAME", help="a speaker whose name contains NAME")
    parser.add_argument("--camera", metavar="N|FILE", help="a camera's number or path, or a video file (default: none)")
    parser.add_argument("--address", choices=("touch", "speech"), default="touch", help="what opens a turn")
    parser.add_argument("--muted", action="store_true", help="begin with microphone and camera closed (m opens them)")
    parser.add_argument("--inject", choices=sorted(INJECTED), help="make this fault happen five seconds after ready")
    parser.add_argument("--text", action="store_true", help="do not speak, print only")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop by itself after S seconds")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--json", action="store_true", help="one JSON line for each event")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs until a signal, q, or --seconds. Raises GlassesError before it says that it is ready."""
    camera = int(args.camera) if args.camera and args.camera.isdigit() else args.camera
    screen = Screen(as_json=args.json)
    with ExitStack() as stack:
        notifier = Notifier.from_environment()
        stack.callback(notifier.close)
        watchdog = Watchdog(notifier, BUDGETS_S)
        detector = VoiceDetector(store.path_of(store.load_bundle(args.bundle).voice_gate))
        voice = None if args.text else open_voice_or_none(args.bundle)
        if voice:
            stack.callback(voice.close)
        parts = open_parts(args.bundle)
        stack.callback(parts.close)
        warm_up(parts)
        ear = Ear(parts, detector, TurnGate(on_speech=args.address == "speech"), open_turn_end(parts))
        live = Live(
            parts,
            voice,
            ear,
            Devices(args.mic, args.speaker, camera),
            watch=screen.saw,
            on_text=screen.text,
            progress=watchdog.progress,
            muted=args.muted,
        )
        stack.enter_context(_signals(live))
        if args.inject:
            _later(5.0, lambda: INJECTED[args.inject](live), stack)
        if args.seconds:
            _later(args.seconds, live.stop, stack)
        if sys.stdin is not None and sys.stdin.isatty():
            threading.Thread(target=_keys, args=(live,), name="keys", daemon=True).start()
        screen.say("ready", microphone=live.microphone.device.name if live.microphone else None)
        watchdog.ready("listening")
        live.run()
        watchdog.stopping("told to stop")
        screen.say("stopped", **{name: getattr(live.counts, name) for name in live.counts.__slots__})
    return 0


def _later(seconds: float, action: Callable[[], None], stack: ExitStack) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    stack.callback(timer.cancel)


def warm_up(parts: Parts) -> None:
    """A first run touches every page of every model; nobody should wait for that in the first turn."""
    heard = parts.hear(np.zeros(RATE_HZ, np.float32))
    for _ in answer(parts, Turn(0, 0, "warm-up", heard), Times(), max_tokens=1):
        pass
    parts.backbone.rollback(parts.n_prefix)


def open_voice_or_none(bundle: str) -> Voice | None:
    """The voice; None, with a note, where the extra or the file is missing."""
    try:
        return open_voice(bundle, n_threads=1)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        print(f"note: answers are text only: {error}", file=sys.stderr)
        return None


class _signals:  # noqa: N801  (a context manager used as a function)
    """USR1 touches, USR2 looks, INT and TERM stop; the handlers before come back afterwards."""

    def __init__(self, live: Live) -> None:
        self._handlers: dict[signal.Signals, Any] = {
            signal.SIGUSR1: lambda *_: live.events.put(Button(time.monotonic_ns(), "tap")),
            signal.SIGUSR2: lambda *_: live.events.put(Button(time.monotonic_ns(), "hold")),
            signal.SIGINT: lambda *_: live.stop(),
            signal.SIGTERM: lambda *_: live.stop(),
        }

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, handler) for number, handler in self._handlers.items()}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _keys(live: Live) -> None:
    for line in sys.stdin:
        key = line.strip().lower()
        if key in ("", "t", "l"):
            live.events.put(Button(time.monotonic_ns(), "hold" if key == "l" else "tap"))
        elif key == "m":
            live.mute(not live.muted)
            print("muted" if live.muted else "listening again")
        elif key == "q":
            live.stop()


class Screen:
    """What a person sees, or what a program reads."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()

    def say(self, what: str, **fields: Any) -> None:
        """One event."""
        with self._lock:
            if self._as_json:
                print(json.dumps({"t_ns": time.monotonic_ns(), "what": what, **fields}), flush=True)
            else:
                known = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items() if value)
                print(f"[{what}{': ' + known if known else ''}]", flush=True)

    def text(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        if not self._as_json:
            print(text, end="", flush=True)

    def saw(self, what: Any) -> None:
        """Whatever the spine lets watch."""
        if isinstance(what, Told):
            self.say(what.what, turn=what.turn_id, at_ns=what.t_ns, **({"merged": True} if what.merged else {}))
        elif isinstance(what, ReplyState) and what.what == "audible":
            self.say("audible", turn=what.turn_id, at_ns=what.t_ns)
        elif isinstance(what, Ended):
            self.say("ended", turn=what.turn.id, speech_end_ns=what.span.end_ns, decided_ns=what.decided_ns)
        elif isinstance(what, DeviceChange):
            self.say("devices", state=what.state)
        elif isinstance(what, Reply):
            self.say("reply", **reply_fields(what))


def reply_fields(reply: Reply) -> dict[str, Any]:
    """A reply as figures: times are ms from the end of speech, work is ms by stage before and after it."""
    ended = reply.ended
    end_ns = ended.span.end_ns if ended else 0
    before, after = dict[str, float](), dict[str, float]()
    for work in reply.work:
        early_ns = max(0, min(work.ended_ns, end_ns) - work.began_ns)
        late_ns = max(0, work.ended_ns - max(work.began_ns, end_ns))
        if reply.audible_ns and work.began_ns > reply.audible_ns:
            continue  # while it already speaks
        before[work.stage] = before.get(work.stage, 0.0) + early_ns / 1e6
        after[work.stage] = after.get(work.stage, 0.0) + late_ns / 1e6
    return {
        "turn": reply.draft.turn.id,
        "outcome": reply.outcome,
        "answer": reply.text,
        "drafts": reply.number,
        "reused_rows": reply.reused,
        "rows": len(reply.draft.rows),
        "decided_ms": round((ended.decided_ns - end_ns) / 1e6, 1) if ended else None,
        "first_audio_ms": round((reply.audible_ns - end_ns) / 1e6, 1) if reply.audible_ns else None,
        "work_before_ms": {stage: round(ms, 1) for stage, ms in before.items()},
        "work_after_ms": {stage: round(ms, 1) for stage, ms in after.items()},
    }
