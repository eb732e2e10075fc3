"""--offload on a command line. Light: what needs the extra `service` is imported only where it is asked for."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glasses.assistant.config import OffloadConfig
from glasses.errors import ModelError, Reason

if TYPE_CHECKING:
    from glasses.offload.answerer import HedgedAnswerer


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --offload and what it takes to be let in; an option that is not given is absent from the namespace."""
    parser.add_argument(
        "--offload",
        dest="offload.url",
        default=argparse.SUPPRESS,
        metavar="URL",
        help="let latents leave for a bigger model: unix:PATH, ws://HOST:PORT or wss://...",
    )
    parser.add_argument(
        "--offload-token-file",
        dest="offload.token_file",
        default=argparse.SUPPRESS,
        type=Path,
        metavar="FILE",
        help="whose first line is its bearer token",
    )
    parser.add_argument(
        "--offload-ca",
        dest="offload.ca_file",
        default=argparse.SUPPRESS,
        type=Path,
        metavar="PEM",
        help="trust a wss:// service of this authority",
    )


def given(args: argparse.Namespace) -> OffloadConfig:
    """What a command line asks for, where no configuration file is read."""
    values = vars(args)
    return OffloadConfig(values.get("offload.url"), values.get("offload.token_file"), values.get("offload.ca_file"))


def open_answerer(config: OffloadConfig, stack: ExitStack) -> HedgedAnswerer | None:
    """The remote model that was asked for. Raises InputError where it cannot be used, ModelError(NOT_INSTALLED)."""
    if config.url is None:
        return None
    if find_spec("websockets") is None or find_spec("msgspec") is None:
        raise ModelError(Reason.NOT_INSTALLED, "--offload needs, from the checkout: pip install -e '.[service]'")
    from glasses.offload.answerer import HedgedAnswerer, transport_of  # noqa: PLC0415

    return stack.enter_context(HedgedAnswerer(transport_of(config.url, config.token_file, config.ca_file)))
