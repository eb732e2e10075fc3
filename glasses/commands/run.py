"""`glasses run`: wears the glasses: listens, watches and answers until it is told to stop."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from firmware_bridge import errors as wire
from firmware_bridge.transport import check_address
from glasses.assistant.answer import warm_up
from glasses.assistant.assistant import Assistant
from glasses.assistant.fault_injection import INJECTED
from glasses.assistant.listener import Listener
from glasses.assistant.reply import Write
from glasses.assistant.reply_writer import MAX_TOKENS
from glasses.assistant.setup import ACTIVATION, CONFIRM_WIPE, SAID, MemoryRecall, open_listener
from glasses.commands import link_keys, offload_options, run_services
from glasses.commands.run_controls import Running, controls
from glasses.commands.run_screen import Caption, Screen
from glasses.commands.run_services import RunServices
from glasses.commands.run_vitals import vitals
from glasses.decoders.speech import Voice
from glasses.devices.link_errors import as_runtime_error
from glasses.devices.local import LocalDevices
from glasses.devices.quiet_stderr import without_portaudio
from glasses.devices.remote import RemoteGlasses
from glasses.errors import InputError, ModelError, Reason
from glasses.events import Draft, Outcome, Reply
from glasses.memory.latent_memory import TIERS, LatentMemory, tiers_within
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_memory, open_voice
from glasses.system.watchdog import Notifier, Watchdog
from glasses.types import Button, DeviceChange, SensorEvent, Wiped

# Without progress for so long, a stage hangs: on a quick board, and on the slowest. The ear's longest step is encoding
# all that was said, the mouth's taking it in, or saying a clause.
BUDGETS_S = {"ear": (1.0, 3.0), "mouth": (2.0, 20.0)}
LONGEST_MIN = TIERS[-1].until_s / 60
MOUTH_READY_S = 20.0  # after the ear, at the most: until then what is said waits to be answered
TOO_HOT = "I have to rest for a while."
_EXAMPLE = """\
examples:
  glasses run                                  Enter is a touch: speak, and it answers; talk over it and it falls silent
  glasses run --address wake                   a touch, or the phrase of glasses wake-word train
  glasses run --address request                no touch: what sounds like a question or a request is for it
  glasses run --address speech                 no touch: everything that is said is for it
  glasses run --mic "USB" --speaker headset    devices whose name contains this (glasses devices lists them)
  glasses run --camera 0 --json                with a camera (l and Enter: look at this), one JSON line for each event
  glasses run --link /dev/ttyACM0              glasses that glasses link paired: their microphone, touch, camera, HUD
  glasses run --dashboard --record             a local page with all of it; keep what happens (glasses replay reads it)

keys (each with Enter): nothing or t touch, l look at this, r what was that, m mute, w forget everything, q quit.
Signals: USR1 touch, USR2 look, RTMIN forget everything, RTMIN+1 what was that, INT and TERM quit.
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
    parser.add_argument(
        "--camera",
        metavar="N|csi|FILE",
        help="its number or path, csi on a Pi, or a video, over and over (default: none)",
    )
    parser.add_argument("--link", metavar="ADDRESS", help="use glasses there: /dev/ttyACM0, HOST:PORT or ble:NAME")
    parser.add_argument("--address", choices=ACTIVATION, default="touch", help="what opens a turn")
    parser.add_argument("--muted", action="store_true", help="begin with microphone and camera closed (m opens them)")
    parser.add_argument("--no-memory", action="store_true", help="remember nothing of what was heard and seen")
    parser.add_argument(
        "--remember", type=float, default=LONGEST_MIN, metavar="MIN", help="for how long, in minutes (default: 30)"
    )
    parser.add_argument(
        "--transcript", action="store_true", help="keep its last replies, in memory: a double touch says them again"
    )
    parser.add_argument("--inject", choices=sorted(INJECTED), help="make this fault happen eight seconds after ready")
    run_services.add_options(parser)
    offload_options.add_options(parser)
    parser.add_argument("--text", action="store_true", help="do not speak, print only")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop by itself after S seconds")
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE, help=f"(default: {store.DEFAULT_BUNDLE})")
    parser.add_argument("--json", action="store_true", help="one JSON line for each event")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs until a signal, q, or --seconds. Raises GlassesError before it says that it is ready."""
    with ExitStack() as stack:
        stack.enter_context(without_portaudio())  # first, so that it ends when nobody holds its stderr any more
        notifier = Notifier.from_environment()
        stack.callback(notifier.close)
        watchdog = Watchdog(notifier, BUDGETS_S)
        devices = _devices(args, stack)
        voice = None if args.text else open_voice_or_none(args.bundle)
        if voice:
            stack.callback(voice.close)
        loaded = open_bundle(args.bundle)
        stack.callback(loaded.close)
        wearing = RunObservers(args, loaded, stack, mute=lambda muted: live.mute(muted))  # noqa: PLW0108 (no live yet)
        ear = open_listener(loaded, args.address, wearing.recalling.recall)
        if isinstance(devices, RemoteGlasses):
            devices.link.note, wearing.caption = wearing.screen.note, Caption(devices.show)
        write = None
        if answerer := offload_options.open_beside(args, stack):
            write = answerer.writer(loaded.backbone, MAX_TOKENS, allowed=partial(wearing.beside.allows, "remote"))
        live = _live(args, loaded, voice, ear, devices=devices, wearing=wearing, watchdog=watchdog, write=write)
        if isinstance(devices, RemoteGlasses):
            devices.on_touch = live.events.put
        if live.muted:  # from the start: no change tells it
            wearing.beside.saw(DeviceChange(time.monotonic_ns(), "muted"))
        wearing.beside.vitals = lambda: vitals(live, devices, wearing.not_remembered)
        controls(args, Running(live, wearing.beside, wearing.wipe, wearing.screen.note), stack)
        wearing.screen.say("ready", microphone=live.microphone.device.name if live.microphone else None)
        watchdog.ready("listening", grace_s={"mouth": MOUTH_READY_S})
        live.run(lambda: warm_up(loaded, voice))
        watchdog.stopping("told to stop")
        wearing.screen.say("stopped", **{name: getattr(live.counts, name) for name in live.counts.__slots__})
    return 0


def _devices(args: argparse.Namespace, stack: ExitStack) -> LocalDevices | RemoteGlasses:
    """Before any model is loaded: what is wrong with a link should be said at once."""
    camera = int(args.camera) if args.camera and args.camera.isdigit() else args.camera
    local = LocalDevices(args.mic, args.speaker, camera)
    if args.link is None:
        return local
    try:
        check_address(args.link)
        linked = RemoteGlasses(args.link, link_keys.read(link_keys.path_of(link_keys.folder(), args.link)), local)
    except wire.LinkError as error:
        raise as_runtime_error(error) from error
    stack.callback(linked.close)
    return linked


def _live(
    args: argparse.Namespace,
    loaded: LoadedBundle,
    voice: Voice | None,
    ear: Listener,
    *,
    devices: LocalDevices | RemoteGlasses,
    wearing: RunObservers,
    watchdog: Watchdog,
    write: Write | None,
) -> Assistant:
    return Assistant(
        loaded,
        voice,
        ear,
        devices,
        watch=wearing.watch,
        heard=wearing.heard,
        takes=wearing.takes,
        allows=wearing.beside.allows,
        on_text=wearing.text,
        progress=watchdog.progress,
        canned_reply=wearing.instead,
        write=write,
        muted=args.muted,
    )


class RunObservers:
    """What becomes of all that the spine lets watch: shown, recorded, remembered, asked for, forgotten."""

    def __init__(
        self, args: argparse.Namespace, loaded: LoadedBundle, stack: ExitStack, *, mute: Callable[[bool], None]
    ) -> None:
        """Raises as Alongside does, and ModelError from the wishes' heads."""
        self.screen = Screen(as_json=args.json)
        self.caption = Caption(lambda text: None)  # on the HUD of glasses, where there are some
        if not 0 < args.remember <= LONGEST_MIN:
            raise InputError(Reason.BAD_INPUT, f"--remember {args.remember:g}: above 0, {LONGEST_MIN:g} at most")
        kept = LatentMemory(tiers=tiers_within(60 * args.remember))
        self._memory = None
        if not args.no_memory:
            self._memory = stack.enter_context(open_memory(loaded, kept))
        self.recalling = MemoryRecall(loaded, self._memory, transcript=args.transcript)
        self.beside = RunServices(args, stack, mute=mute, wipe=self.wipe, say=self.screen.note)
        if self._memory:
            self.beside.held = self._memory.usage

    def watch(self, what: Any) -> None:
        """Everything that happens, from any thread."""
        self.screen.saw(what)
        self.caption.saw(what)
        self.beside.saw(what)
        if self._memory and isinstance(what, DeviceChange) and what.state == "muted":
            self._memory.discard_unfinished()
        if (
            self._memory
            and isinstance(what, Reply)
            and what.canned_reply == CONFIRM_WIPE
            and what.outcome is Outcome.COMPLETED
        ):
            self._memory.request_wipe(time.monotonic_ns())
        if isinstance(what, Reply) and what.ended and not what.canned_reply and what.outcome in SAID:
            self.recalling.said(what.draft.turn.id, what.text, what.ended.span.decided_ns)

    @property
    def not_remembered(self) -> int:
        """Sounds and pictures that the memory's thread had no time for."""
        return self._memory.n_lost if self._memory else 0

    def text(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        self.screen.text(text)
        self.caption.text(text)

    def heard(self, event: SensorEvent, speech: bool) -> None:
        """What the ear took in."""
        if self._memory:
            self._memory.observe(event, speech=speech)

    def takes(self, button: Button) -> bool:
        """A touch that answers the question whether to forget opens no turn."""
        if self._memory is None or not self._memory.confirm_wipe(button):
            return False
        self.recalling.forget()
        self.beside.saw(Wiped(button.t_ns))
        self.screen.say("wiped")
        return True

    def wipe(self) -> None:
        """Forgets, at once."""
        self.recalling.forget()
        windows = self._memory.wipe() if self._memory else 0
        self.beside.saw(Wiped(time.monotonic_ns()))
        self.screen.say("wiped", windows=windows)

    def instead(self, draft: Draft) -> str:
        """What is said without asking the backbone."""
        if not self.beside.allows("backbone"):
            return TOO_HOT
        return self.recalling.instead(draft)


def open_voice_or_none(bundle: str) -> Voice | None:
    """The voice, not yet loaded; None, with a note, where the extra or the file is missing."""
    try:
        return open_voice(bundle, warm=False)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        print(f"note: answers are text only: {error}", file=sys.stderr)
        return None
