"""`glasses tools`: what tools there are, and one tool called by hand."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from glasses.assistant.config_file import load_config
from glasses.assistant.text_reader import text_in
from glasses.commands.tool_sources import tools_from_elsewhere
from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder
from glasses.media.pictures import read_image
from glasses.tools.builtin import BUILTIN
from glasses.tools.builtin.text import read_text
from glasses.tools.printable import printable
from glasses.tools.registry import ToolRegistry
from glasses.tools.store import FILE_NAME, ToolStore
from glasses.tools.tool import Tool, ToolContext, misfit

_EXAMPLE = """\
examples:
  glasses tools                                          what tools there are, where each comes from, whether it asks
  glasses tools set_timer duration="five minutes"        call one by hand
  glasses tools convert amount=10 unit=miles to=kilometres
  glasses tools read_text --image sign.jpg               what is written in a picture
  glasses tools --json                                   their JSON schemas
  glasses tools time_get_current_time timezone=Asia/Tokyo --yes      one of an MCP server; --yes agrees to use it

Tools that need the running glasses (volume, camera, battery) say so. Your own: tools.py or tools/*.py beside
config.toml (glasses config path), a package with the entry point glasses.tools, or an MCP server in config.toml:
  [mcp.servers.time]
  command = "uvx"
  args = ["mcp-server-time"]
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
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="a picture of what is in view, for read_text and read_code"
    )
    parser.add_argument("--yes", action="store_true", help="agree to what the tool asks first")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Lists, or calls. Raises InputError: no such tool, arguments that do not fit, no consent."""
    registry = ToolRegistry(BUILTIN)
    with tools_from_elsewhere(registry, load_config().config, note=_Notes(args.verbose), show=_show) as servers:
        if servers and not (args.tool and registry.get(args.tool)):
            servers.wait()
        if not args.tool:
            _list(registry.tools, args.json)
            return 0
        wanted = registry.get(args.tool)
        if wanted is None:
            near = difflib.get_close_matches(args.tool, [one.name for one in registry.tools], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "glasses tools lists them"
            raise InputError(Reason.NOT_FOUND, f"no tool {args.tool!r}: {hint}")
        said = _called(wanted, args)
    print(json.dumps({"tool": wanted.name, "said": said}) if args.json else printable(said))
    return 0


def _called(tool: Tool, args: argparse.Namespace) -> str:
    arguments = _arguments(tool, args.arguments)
    tool.checked(arguments)
    if tool.must_ask:
        if not args.yes:
            _ask(printable(tool.confirmation(arguments)))
        tool.agree()
    picture = read_image(args.image) if args.image else None
    text = text_in(picture) if picture is not None and tool.name == read_text.name else None
    view = None if picture is None else lambda: picture
    store = ToolStore(own_state_folder() / FILE_NAME)
    try:
        return tool.call(ToolContext(datetime.now, store, text=text, view=view), arguments)
    finally:
        store.close()


def _ask(question: str) -> None:
    """Raises InputError(REFUSED) where the answer is no, or nobody can be asked."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(Reason.REFUSED, f"{question} (nobody to ask here: --yes agrees)")
    print(f"{question} [y/n] ", end="", flush=True, file=sys.stderr)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError(Reason.REFUSED, "not done, as you said no")


class _Notes:
    """Prints what went wrong; that a server is there only with --verbose."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose

    def __call__(self, sentence: str) -> None:
        if self._verbose or not sentence.endswith(" tools"):
            print(f"note: {sentence}", file=sys.stderr)


def _show(text: str) -> None:
    print(f"on the HUD:\n{text}\n", file=sys.stderr)


def _list(tools: tuple[Tool, ...], as_json: bool) -> None:
    if as_json:
        listed = [
            {
                **{"name": t.name, "description": t.description, "schema": t.schema},
                **{"origin": t.origin or "built in", "asks_first": t.must_ask, "examples": t.examples},
            }
            for t in tools
        ]
        print(json.dumps(listed))
        return
    width = max(len(tool.name) for tool in tools)
    shown: set[str] = set()
    for tool in tools:
        origin = tool.origin or "built in"
        if origin not in shown:
            print(f"{chr(10) if shown else ''}{origin}:")
            shown.add(origin)
        fields = ", ".join(field.encode_name for field in msgspec.structs.fields(tool.arguments))
        print(
            printable(f"  {tool.name:{width}}  {tool.description}{f'  ({fields})' if fields else ''}")
            + ("  [asks first]" if tool.must_ask else "")
        )


def _arguments(tool: Tool, given: list[str]) -> dict[str, Any]:
    """The arguments with the types that the tool takes them in; lists and tables are given as JSON."""
    pairs: dict[str, Any] = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(tool.arguments)}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InputError(Reason.BAD_INPUT, f"{one!r}: give an argument as NAME=VALUE")
        is_plain = name not in fields or fields[name].type is str
        pairs[name] = _json(value) if not is_plain and value.startswith(("[", "{")) else value
    try:
        read = msgspec.convert(pairs, tool.arguments, strict=False)
    except msgspec.ValidationError as error:
        raise misfit(tool, error) from error
    return {name: getattr(read, fields[name].name) for name in pairs}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(Reason.BAD_INPUT, f"{text[:80]!r} is no JSON: {error}") from error
