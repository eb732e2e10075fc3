"""The options of `glasses run`. Each that stands for a key of the configuration has that key as its `dest`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glasses.assistant.config import (
    ACTIVATIONS,
    DEFAULT_CONVERSATION_MIN,
    MAX_MEMORY_MIN,
    AssistantConfig,
    activation_of,
)
from glasses.assistant.config_file import items
from glasses.assistant.fault_injection import INJECTED
from glasses.commands import bundle_option, offload_options, old_names
from glasses.recording.folder import default_folder

_DEFAULT_FOLDER = Path()  # stands for --record without a folder, which is looked up when it is needed
EXAMPLE = """\
examples:
  glasses run                                  Enter is a touch: speak, and it answers; talk over it and it falls silent
  glasses run --activation wake-word           a touch, or the phrase of glasses wake-word train
  glasses run --activation request             no touch: what sounds like a question or a request is for it
  glasses run --activation speech              no touch: everything that is said is for it
  glasses run --mic "USB" --speaker headset    devices by name, part of it, or number (glasses devices)
  glasses run --camera 0 --json                with a camera (l and Enter: look at this), one JSON line for each event
  glasses run --link /dev/ttyACM0              glasses that glasses link paired: their microphone, touch, camera, HUD
  glasses run --dashboard --record             a local page with all of it; keep what happens (glasses replay reads it)

keys (each with Enter): nothing or t touch, l look at this, r what was that, m mute, w forget everything, q quit.
Signals: USR1 touch, USR2 look, RTMIN forget everything, RTMIN+1 what was that, TERM and HUP quit (Ctrl-C too: 130).
Most options can also stand in a file: glasses config show prints the keys.
"""


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds them all. An option that is not given is absent from the namespace: the configuration decides then."""
    parser.argument_default = argparse.SUPPRESS
    _add_device_options(parser)
    _add_memory_options(parser)
    _add_service_options(parser)
    offload_options.add_options(parser)
    parser.add_argument("--persona", metavar="NAME", help="a file with its prompt, name, voice, manner and tools")
    bundle_option.add_option(parser)
    parser.add_argument("--inject", choices=sorted(INJECTED), default=None, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=None, metavar="S", help="stop by itself after S seconds")
    parser.add_argument("--json", action="store_true", default=False, help="one JSON line for each event")
    return parser


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The keys of the configuration that the command line gives a value."""
    known = {key for key, _ in items(AssistantConfig())}
    values = {key: value for key, value in vars(args).items() if key in known}
    if folder := getattr(args, "record", None):
        values |= {"recording.enabled": True}
        values |= {"recording.folder": default_folder() if folder == _DEFAULT_FOLDER else folder}
    if listen := getattr(args, "dashboard", None):
        values |= {"dashboard.enabled": True, "dashboard.listen": listen}
    return values


def _add_device_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mic",
        dest="audio.microphone",
        metavar="NAME",
        help="a microphone: its number, name or part of the name",
    )
    parser.add_argument("--speaker", dest="audio.speaker", metavar="NAME", help="a speaker, as --mic")
    parser.add_argument(
        "--camera",
        dest="camera.source",
        metavar="N|csi|FILE",
        help="its number or path, csi on a Pi, or a video, over and over (default: none)",
    )
    parser.add_argument(
        "--pictures",
        dest="camera.pictures",
        type=Path,
        metavar="DIR",
        help="where pictures that it was asked to take are saved (default: your folder for pictures)",
    )
    parser.add_argument(
        "--link",
        metavar="ADDRESS",
        help="use glasses there: /dev/ttyACM0, HOST:PORT, ble:NAME, or SCHEME:... of a package that adds glasses",
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, help="what starts a turn (default: button)")
    old_names.add_option(
        parser,
        "--address",
        f"--activation {'|'.join(ACTIVATIONS)}",
        dest="activation",
        type=activation_of,
        choices=ACTIVATIONS,
    )
    parser.add_argument("--muted", action="store_true", help="begin with microphone and camera closed (m opens them)")
    parser.add_argument("--no-voice", dest="audio.voice", action="store_false", help="do not speak, print only")
    old_names.add_option(parser, "--text", "--no-voice", dest="audio.voice", nargs=0, const=False)


def _add_memory_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--memory-minutes",
        dest="memory.minutes",
        type=float,
        metavar="MIN",
        help=f"what was heard and seen is remembered for so long, 0: not at all (default: {MAX_MEMORY_MIN:g})",
    )
    old_names.add_option(parser, "--remember", "--memory-minutes", dest="memory.minutes", type=float)
    old_names.add_option(parser, "--no-memory", "--memory-minutes 0", dest="memory.minutes", nargs=0, const=0.0)
    parser.add_argument(
        "--keep-replies",
        dest="memory.keep_replies",
        action="store_true",
        help="keep its last replies, in memory: a double touch says them again",
    )
    parser.add_argument(
        "--conversation-minutes",
        dest="conversation.minutes",
        type=float,
        metavar="MIN",
        help="the turns before are forgotten after so long without one; 0: every turn stands alone "
        f"(default: {DEFAULT_CONVERSATION_MIN:g})",
    )
    old_names.add_option(parser, "--transcript", "--keep-replies", dest="memory.keep_replies", nargs=0, const=True)


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    kept = AssistantConfig().recording
    parser.add_argument(
        "--dashboard", nargs="?", const="127.0.0.1:8766", metavar="HOST:PORT", help="a page to look at, and a mute"
    )
    parser.add_argument(
        "--record", nargs="?", type=Path, const=_DEFAULT_FOLDER, metavar="DIR", help="keep what sensors give, as MCAP"
    )
    parser.add_argument(
        "--record-hours",
        dest="recording.max_hours",
        type=float,
        metavar="H",
        help=f"older recordings are deleted (default: {kept.max_hours:g})",
    )
    parser.add_argument(
        "--record-mb",
        dest="recording.max_mb",
        type=float,
        metavar="MB",
        help=f"and the oldest beyond (default: {kept.max_mb:g})",
    )
    parser.add_argument(
        "--encrypt-to",
        dest="recording.encrypt_to",
        type=Path,
        metavar="PEM",
        help="public key: only its owner can read the recordings",
    )
    old_names.add_option(parser, "--seal", "--encrypt-to", dest="recording.encrypt_to", type=Path)
    parser.add_argument(
        "--no-apps",
        dest="apps.enabled",
        action="store_false",
        help="offer no socket by which this user's programs use the models while it runs",
    )
    parser.add_argument("--board", help="NAME in hardware/boards (default: $GLASSES_BOARD, else desktop)")
