"""`glasses mcp`: an MCP server by which other agents use the running glasses, as far as the wearer allows."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from importlib.util import find_spec
from pathlib import Path

from glasses.commands import INTERRUPTED
from glasses.errors import InputError, ModelError, Reason
from glasses.system.event_loop import run_until_signal

_EXAMPLE = """\
examples:
  glasses mcp                          speaks MCP on its standard input and output: an agent's program starts it
  glasses mcp --listen 127.0.0.1:8790 --token-file token
                                       streamable HTTP at http://127.0.0.1:8790/mcp, for this machine only

In an agent's configuration:
  {"mcpServers": {"glasses": {"command": "glasses", "args": ["mcp"]}}}

The glasses must run (`glasses run`). What agents may do stands in config.toml; without it they may only show a text:
  [mcp.allow]
  look = true       a picture from the camera
  listen = true     some seconds of sound
  say = true        a sentence by the voice
  show = true       a text on the HUD
  recall = true     the wearer's notes
Each access is told to the wearer. Muted glasses neither look nor listen.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `mcp`."""
    parser = subparsers.add_parser(
        "mcp",
        description="Let other agents look, listen, say, show and recall, by the Model Context Protocol.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve streamable HTTP on the loopback instead of stdio")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="its first line is what clients of --listen must send, a secret"
    )
    parser.set_defaults(run=run)


def _leave_at_signals() -> None:
    """There is nothing to tidy up, and a thread that reads the standard input would be waited for."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def run(args: argparse.Namespace) -> int:
    """Serves until its input ends or a signal comes. Raises ModelError(NOT_INSTALLED), InputError."""
    if find_spec("mcp") is None:
        raise ModelError(Reason.NOT_INSTALLED, "glasses mcp needs, from the checkout: pip install -e '.[mcp]'")
    from glasses.commands.mcp_server import serve_http, serve_stdio  # noqa: PLC0415 (the extra may be missing)
    from glasses.service.server.token_file import read_token  # noqa: PLC0415

    if bool(args.listen) != bool(args.token_file):
        raise InputError(
            Reason.BAD_INPUT, "--listen and --token-file go together: (umask 077; openssl rand -hex 32 > token)"
        )
    if args.listen:
        run_until_signal(serve_http(args.listen, read_token(args.token_file)))
    else:
        _leave_at_signals()
        asyncio.run(serve_stdio())
    return 0
