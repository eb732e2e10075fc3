"""The command line: parses, calls one command, turns GlassesErrors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys

from glasses import __version__
from glasses.errors import GlassesError

_COMMANDS = {
    name: f"glasses.commands.{'evaluate' if name == 'eval' else name}"
    for name in "run ask demo serve eval bench models devices link replay teach wipe check".split()
}
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
    parser.add_argument("--verbose", action="store_true", help="log what the libraries say")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Only the command that was named is imported: the others would cost the boot service a second on a small board.
    argv = sys.argv[1:] if argv is None else argv
    named = next((word for word in argv if not word.startswith("-")), "")
    for module in [_COMMANDS[named]] if named in _COMMANDS else _COMMANDS.values():
        importlib.import_module(module).add_parser(subparsers)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    if not args.verbose:
        logging.getLogger("glasses.llama_cpp").setLevel(logging.ERROR)  # it warns of a choice of ours at every start
    try:
        return args.run(args)
    except GlassesError as error:
        print(f"glasses {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `glasses ask ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
