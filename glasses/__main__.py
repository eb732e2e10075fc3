"""The command line: parses, calls one command, turns GlassesErrors into one line and an exit code.

A command is a module with `add_parser(subparsers)`, which sets `run(args) -> exit code`. Ours are in COMMANDS. An
installed package adds one with the entry point group `glasses.commands`: its name is the command, its object such a
module.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from glasses import __version__
from glasses.commands import log_setup
from glasses.errors import GlassesError

COMMANDS = {
    "run": "glasses.commands.run",
    "ask": "glasses.commands.ask",
    "demo": "glasses.commands.demo",
    "serve": "glasses.commands.serve",
    "evaluate": "glasses.commands.evaluate",
    "bench": "glasses.commands.bench",
    "models": "glasses.commands.models",
    "devices": "glasses.commands.devices",
    "link": "glasses.commands.link",
    "replay": "glasses.commands.replay",
    "wake-word": "glasses.commands.wake_word",
    "wipe": "glasses.commands.wipe",
    "check": "glasses.commands.check",
    "config": "glasses.commands.config",
}
RENAMED = {"eval": "evaluate", "teach": "wake-word"}  # old names: they work in this version, and say what to type
ENTRY_POINTS = "glasses.commands"
_EXAMPLE = """\
examples:
  glasses models pull                                    fetch the default bundle
  glasses ask --audio question.wav                       answer what was said
  glasses ask --image photo.jpg "What is in view?"       look at a picture
  glasses demo --out out/demo                            a recorded minute, answered
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; 0 is success, 2 an error that was explained, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="glasses",
        description="A multimodal assistant for glasses: sight and sound reach the backbone as latent vectors.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"glasses {__version__}")
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="log what the libraries say; $GLASSES_LOG=assistant=debug is for one package",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    argv, named = _with_new_name(sys.argv[1:] if argv is None else argv)
    try:
        _add_commands(subparsers, named)  # imports for a second: Ctrl-C may come here already
        args = parser.parse_args(argv)
        log_setup.set_up(verbose=args.verbose)
        return args.run(args)
    except GlassesError as error:
        print(f"glasses {named}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `glasses ask ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _with_new_name(argv: list[str]) -> tuple[list[str], str]:
    """The arguments with an old command's name replaced, and the command's name; "" where none is given."""
    at = next((i for i, word in enumerate(argv) if not word.startswith("-")), None)
    if at is None:
        return argv, ""
    named = RENAMED.get(argv[at], argv[at])
    if named != argv[at]:
        print(f"note: `glasses {argv[at]}` is now `glasses {named}`", file=sys.stderr)
    return [*argv[:at], named, *argv[at + 1 :]], named


def _add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], named: str) -> None:
    """Adds the named command alone, as importing the others would cost a small board a second at each start.

    Adds all, those of other packages too, for the help and for a name that is not ours.
    """
    if named in COMMANDS:
        importlib.import_module(COMMANDS[named]).add_parser(subparsers)
        return
    for module in COMMANDS.values():
        importlib.import_module(module).add_parser(subparsers)
    from importlib.metadata import entry_points  # noqa: PLC0415  # takes 50 ms, which `wipe` does not have

    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load().add_parser(subparsers)
        except Exception as error:  # anybody's code: it must not take the other commands with it
            print(f"note: command {entry.name} of {entry.value} cannot be loaded: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
