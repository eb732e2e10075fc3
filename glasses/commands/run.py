"""`glasses run`: wears the glasses: listens, watches and answers until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from glasses import store
from glasses.app import Parts, open_parts, open_turn_end, open_voice, open_wake
from glasses.commands.run_screen import Screen, reply_fields
from glasses.decoders.speech import Voice
from glasses.ear import Ear, Ended
from glasses.errors import ModelError, Reason
from glasses.gates.ring import RATE_HZ
from glasses.gates.turns import TurnGate
from glasses.gates.voice import VoiceDetector
from glasses.listen import Button, Heard
from glasses.live import Devices, Live
from glasses.loop import Times, answer
from glasses.mouth import Reply
from glasses.record import Recorder
from glasses.session_file import Answered, decision_of
from glasses.types import AudioChunk, Frame, Latents, Turn
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
  glasses run --address wake                   a touch, or the phrase that glasses teach wake has taught
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
    parser.add_argument("--address", choices=("touch", "wake", "speech"), default="touch", help="what opens a turn")
    parser.add_argument("--muted", action="store_true", help="begin with microphone and camera closed (m opens them)")
    parser.add_argument("--inject", choices=sorted(INJECTED), help="make this fault happen five seconds after ready")
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep what happens in DIR (glasses replay reads it)")
    parser.add_argument("--dashboard", action="store_true", help="a local page with all of it (extra `service`)")
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
        watchers: list[Callable[[Any], None]] = [screen.saw]
        if args.record:
            watchers.append(_recording(args, stack))

        def watch(what: Any) -> None:
            for watcher in watchers:
                watcher(what)

        ear = Ear(parts, detector, TurnGate(on_speech=args.address == "speech"), open_turn_end(parts))
        ear.wake = open_wake(parts) if args.address == "wake" else None
        live = Live(
            parts,
            voice,
            ear,
            Devices(args.mic, args.speaker, camera),
            watch=watch,
            on_text=screen.text,
            progress=watchdog.progress,
            muted=args.muted,
        )
        if args.dashboard:
            watchers.append(_dashboard(live, screen, stack))
        _controls(args, live, stack)
        screen.say("ready", microphone=live.microphone.device.name if live.microphone else None)
        watchdog.ready("listening")
        live.run()
        watchdog.stopping("told to stop")
        screen.say("stopped", **{name: getattr(live.counts, name) for name in live.counts.__slots__})
    return 0


def _controls(args: argparse.Namespace, live: Live, stack: ExitStack) -> None:
    """Signals, keys, and what was asked to happen later."""
    stack.enter_context(_signals(live))
    if args.inject:
        _later(5.0, lambda: INJECTED[args.inject](live), stack)
    if args.seconds:
        _later(args.seconds, live.stop, stack)
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_keys, args=(live,), name="keys", daemon=True).start()


def _recording(args: argparse.Namespace, stack: ExitStack) -> Callable[[Any], None]:
    """Puts what is seen, heard, decided and said into a Recorder."""
    recorder = Recorder(args.record, {"bundle": args.bundle})
    stack.callback(recorder.close)

    def watch(what: Any) -> None:
        if isinstance(what, AudioChunk | Frame | Button):
            recorder.put(what)
        elif isinstance(what, Ended):
            for part in what.turn.parts:
                if isinstance(part, Latents):
                    recorder.put(part)
            recorder.put(decision_of(Heard(what.turn, what.span, what.view, Times(), what.decided_ns)))
        elif isinstance(what, Reply) and what.ended:
            wait_ms = {"silence": reply_fields(what)["decided_ms"], **reply_fields(what)["work_after_ms"]}
            recorder.put(Answered(what.ended.span.decided_ns, what.draft.turn.id, what.text, wait_ms))

    return watch


def _dashboard(live: Live, screen: Screen, stack: ExitStack) -> Callable[[Any], None]:
    """Starts the page and says where it is."""
    from glasses.dashboard.feed import PanelFeed  # noqa: PLC0415  (needs the extra `service`)
    from glasses.dashboard.server import serving  # noqa: PLC0415
    from glasses.dashboard.status import Panel  # noqa: PLC0415

    panel = Panel()
    screen.say("dashboard", address=stack.enter_context(serving(panel, mute=live.mute, wipe=lambda: None)))
    return PanelFeed(panel).saw


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
