"""`glasses tools`: what tools there are, and one tool called by hand."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

import msgspec

from glasses.commands.run_tools import STORE_NAME
from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder
from glasses.tools.builtin import BUILTIN
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext, misfit

_EXAMPLE = """\
examples:
  glasses tools                                          what tools there are
  glasses tools set_timer duration="five minutes"        call one by hand
  glasses tools convert amount=10 unit=miles to=kilometres
  glasses tools --json                                   their JSON schemas

Tools that need the running glasses (volume, camera, battery) say so.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tools`."""
    parser = subparsers.add_parser(
        "tools",
        description="List the tools, or call one by hand.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tool", nargs="?", metavar="TOOL", help="call this one (default: list all)")
    parser.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="its arguments")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Lists, or calls. Raises InputError: no such tool, or arguments that do not fit."""
    if not args.tool:
        _list(args.json)
        return 0
    wanted = {tool.name: tool for tool in BUILTIN}.get(args.tool)
    if wanted is None:
        raise InputError(Reason.NOT_FOUND, f"no tool {args.tool!r}: {', '.join(tool.name for tool in BUILTIN)}")
    store = ToolStore(own_state_folder() / STORE_NAME)
    try:
        said = wanted.call(ToolContext(datetime.now, store), _arguments(wanted, args.arguments))
    finally:
        store.close()
    print(json.dumps({"tool": wanted.name, "said": said}) if args.json else said)
    return 0


def _list(as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"name": t.name, "description": t.description, "schema": t.schema} for t in BUILTIN]))
        return
    width = max(len(tool.name) for tool in BUILTIN)
    for tool in BUILTIN:
        fields = ", ".join(field.name for field in msgspec.structs.fields(tool.arguments))
        print(f"{tool.name:{width}}  {tool.description}{f'  ({fields})' if fields else ''}")


def _arguments(tool: Tool, given: list[str]) -> dict[str, Any]:
    """The arguments with the types that the tool takes them in."""
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InputError(Reason.BAD_INPUT, f"{one!r}: give an argument as NAME=VALUE")
        pairs[name] = value
    try:
        return msgspec.structs.asdict(msgspec.convert(pairs, tool.arguments, strict=False))
    except msgspec.ValidationError as error:
        raise misfit(tool, error) from error
