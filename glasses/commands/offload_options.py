"""--offload on a command line. Light: what needs the extra `service` is imported only where it is asked for."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glasses.errors import ModelError, Reason

if TYPE_CHECKING:
    from glasses.offload.answerer import HedgedAnswerer


def add_options(parser: argparse.ArgumentParser) -> None:
    """--offload and what it takes to be let in."""
    parser.add_argument(
        "--offload", metavar="URL", help="let latents leave for a bigger brain: unix:PATH, ws://HOST:PORT or wss://..."
    )
    parser.add_argument("--offload-token-file", type=Path, metavar="FILE", help="whose first line is its bearer token")
    parser.add_argument("--offload-ca", type=Path, metavar="PEM", help="trust a wss:// service of this authority")


def open_beside(args: argparse.Namespace, stack: ExitStack) -> HedgedAnswerer | None:
    """The bigger brain that was asked for. Raises InputError where it cannot be used, ModelError(NOT_INSTALLED)."""
    if args.offload is None:
        return None
    if find_spec("websockets") is None or find_spec("msgspec") is None:
        raise ModelError(Reason.NOT_INSTALLED, "--offload needs, from the checkout: pip install -e '.[service]'")
    from glasses.offload.answerer import HedgedAnswerer, transport_of  # noqa: PLC0415

    return stack.enter_context(HedgedAnswerer(transport_of(args.offload, args.offload_token_file, args.offload_ca)))
