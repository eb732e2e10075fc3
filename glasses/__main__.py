"""The command line: finds the command, imports that one alone, and runs it inside `glasses.commands.guarded`.

A command is a module with `add_parser(subparsers)`, which sets `run(args) -> exit code`. Ours are in COMMANDS. An
installed package adds one with the entry point group `glasses.commands`: its name is the command, its object such a
module.
"""

from __future__ import annotations

# Not `signal`, which stands on it: that takes milliseconds to import, in which Ctrl-C would not be ours.
import _signal  # pyright: ignore[reportMissingImports]
import importlib
import os
import sys

TYPE_CHECKING = False  # as typing has it
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

# The module of each command, and its line in `glasses --help`, which imports none of them.
COMMANDS = {
    "run": ("glasses.commands.run", "listen, watch and answer"),
    "ask": ("glasses.commands.ask", "answer sounds, pictures and text"),
    "chat": ("glasses.commands.chat", "a conversation that is typed"),
    "demo": ("glasses.commands.demo", "answer a recorded minute of sound and pictures"),
    "serve": ("glasses.commands.serve", "serve the model over HTTP and WebSocket"),
    "evaluate": ("glasses.commands.evaluate", "measure a bundle on the held-out sets"),
    "bench": ("glasses.commands.bench", "measure this machine"),
    "models": ("glasses.commands.models", "list, fetch and check model files"),
    "devices": ("glasses.commands.devices", "list cameras, microphones, speakers, serial ports and glasses in reach"),
    "link": ("glasses.commands.link", "talk to the reference glasses: pair, watch, update them"),
    "replay": ("glasses.commands.replay", "replay a recorded session and compare decisions and answers"),
    "wake-word": ("glasses.commands.wake_word", "train a wake phrase, show or delete it"),
    "wipe": ("glasses.commands.wipe", "forget what was heard and seen"),
    "check": ("glasses.commands.check", "what is wrong here and what to do"),
    "config": ("glasses.commands.config", "what glasses run is configured to do"),
    "mcp": ("glasses.commands.mcp", "let other agents look, listen, say, show and recall"),
    "tools": ("glasses.commands.tools", "what tools there are; call one by hand"),
}
RENAMED = {"eval": "evaluate", "teach": "wake-word"}  # old names: they work in this version, and say what to type
ENTRY_POINTS = "glasses.commands"
_EXAMPLE = """\
examples:
  glasses models pull                                    fetch the default bundle
  glasses ask --audio question.wav                       answer what was said
  glasses ask --image photo.jpg "What is in view?"       look at a picture
  glasses demo --out out/demo                            a recorded minute, answered

exit status: 0 done, 1 something is not as it should be, 2 an error that was explained, 130 Ctrl-C
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; 0 is success, 2 an error that was explained, 130 Ctrl-C."""
    if argv is None:
        quiet_at_interrupt()
    from glasses.commands import guarded  # noqa: PLC0415

    given = sys.argv[1:] if argv is None else argv
    named = _name_in(given)
    return guarded(
        f"glasses {named}".strip(),
        lambda: _prepared(given, named),
        own_process=argv is None,
        verbose="--verbose" in given,
    )


def quiet_at_interrupt() -> None:
    """From now on Ctrl-C says so in one line and ends the process at once."""

    def leave(*_: object) -> None:
        os.write(2, b"interrupted\n")
        os._exit(130)

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else it is ignored, as under `make &`
        _signal.signal(_signal.SIGINT, leave)


def _prepared(given: list[str], named: str) -> Callable[[], int]:
    """The command, imported and with its arguments parsed. Raises SystemExit where argparse does, GlassesError."""
    parser, subparsers = _parser()
    at = _place_of_name(given)
    if at is not None and given[at] in RENAMED:
        print(f"note: `glasses {given[at]}` is now `glasses {named}`", file=sys.stderr)
        given = [*given[:at], named, *given[at + 1 :]]
    if named in COMMANDS:
        importlib.import_module(COMMANDS[named][0]).add_parser(subparsers)
    else:
        _list_commands(subparsers)
    args = parser.parse_args(given)
    if getattr(args, "logs", True):
        from glasses.commands import log_setup  # noqa: PLC0415  # `wipe` does not log

        log_setup.set_up(verbose=args.verbose)
    return lambda: args.run(args)


def _name_in(given: list[str]) -> str:
    """The command that is named, by its new name; "" where none is."""
    at = _place_of_name(given)
    return "" if at is None else RENAMED.get(given[at], given[at])


def _place_of_name(given: list[str]) -> int | None:
    return next((i for i, word in enumerate(given) if not word.startswith("-")), None)


def _parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    import argparse  # noqa: PLC0415  # some milliseconds, in which Ctrl-C would not be ours

    from glasses import __version__  # noqa: PLC0415

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
        help="log what the libraries say, and where an error comes from; $GLASSES_LOG=assistant=debug is for one "
        "package",
    )
    return parser, parser.add_subparsers(dest="command", required=True, metavar="COMMAND")


def _list_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ours by name and line alone, as importing them takes a second; those of other packages whole."""
    for name, (_, line) in COMMANDS.items():
        subparsers.add_parser(name, help=line)
    from importlib.metadata import entry_points  # noqa: PLC0415  # takes 50 ms, which `wipe` does not have

    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load().add_parser(subparsers)
        except Exception as error:  # anybody's code: it must not take the other commands with it
            print(f"note: command {entry.name} of {entry.value} cannot be loaded: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
