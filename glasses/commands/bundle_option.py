"""The option --bundle of the commands that a wearer types."""

from __future__ import annotations

import argparse

HELP = "the models to use (default: the largest pulled that fits this machine; see glasses models recommend)"


def add_option(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds it; `chosen_bundle` of glasses.runtime.bundle_choice turns its value into a bundle's name.

    Without `default` the parser's own holds for it.
    """
    default = parser.argument_default if default is None else default
    parser.add_argument("--bundle", metavar="NAME", default=default, help=HELP)
