"""`glasses config`: where the configuration lies, what it says, and whether it is valid."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from glasses.assistant import device_settings
from glasses.assistant import persona as personas
from glasses.assistant.config import AssistantConfig
from glasses.assistant.config_file import items, load_config, paths
from glasses.runtime.heads import DEFAULT_WAKE_WORD
from glasses.tools.mcp.config import McpAllow, ServerConfig

_EXAMPLE = """\
examples:
  glasses config path       the files that are looked for; what stands in a later one counts
  glasses config show       each value, and where it comes from
  glasses config check      says which file, key and value is wrong, and why

A file has the keys that `glasses config show` prints:
  activation = "wake-word"
  [memory]
  minutes = 10
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `config`."""
    parser = subparsers.add_parser(
        "config",
        description="Show or check the configuration of `glasses run`.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        choices=("path", "show", "check"),
        metavar="path|show|check",
        help="list the files, show the values, check them",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was asked for. Raises InputError where a file is wrong."""
    if args.what == "path":
        files = [(str(path), path.exists()) for path in paths()]
        table = [{"path": path, "exists": exists} for path, exists in files]
        _print(args, table, [path if exists else f"{path} (does not exist)" for path, exists in files])
        return 0
    loaded = load_config()
    if args.what == "check":
        found = [str(path) for path in paths() if path.exists()]
        _print(args, {"valid": True, "files": found}, [f"valid: {', '.join(found) or 'no file, all is built in'}"])
        return 0
    values = {key: {"value": _plain(value), "source": loaded.sources[key]} for key, value in items(loaded.config)}
    values |= _personas(loaded.config)
    values |= _set_by_voice()
    width = max(map(len, values))
    lines = [f"{key:{width}}  {json.dumps(one['value'])}  ({one['source']})" for key, one in values.items()]
    _print(args, values, lines)
    return 0


def _personas(config: AssistantConfig) -> dict[str, dict[str, Any]]:
    """Who may answer, by which name and which phrase. Raises InputError as `persona.load`."""
    values = dict[str, dict[str, Any]]()
    for name in config.all_personas():
        one, source = personas.load(name), str(personas.folder() / f"{name}.toml")
        values[f"personas.{name}.name"] = {"value": one.name, "source": source}
        values[f"personas.{name}.wake_word"] = {"value": one.wake_word or DEFAULT_WAKE_WORD, "source": source}
    return values


def _set_by_voice() -> dict[str, dict[str, Any]]:
    """What the wearer set while the glasses ran; where nothing is set, nothing."""
    kept = device_settings.load(device_settings.path())
    source = f"set by voice: {device_settings.path()}"
    percents = msgspec.structs.asdict(kept)
    return {name: {"value": value, "source": source} for name, value in percents.items() if value}


def _print(args: argparse.Namespace, table: Any, lines: list[str]) -> None:
    print(json.dumps(table, ensure_ascii=False) if args.json else "\n".join(lines))


def _plain(value: Any) -> Any:
    """As JSON has it. Of MCP servers the command or address is shown: a key may stand beside it."""
    if isinstance(value, tuple):
        servers = {one.name: one.where for one in value if isinstance(one, ServerConfig)}
        return servers or [str(one) for one in value]
    if isinstance(value, McpAllow):
        return asdict(value)
    return str(value) if isinstance(value, Path) else value
