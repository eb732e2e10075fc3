"""The tools of `glasses ask`: what a turn asks for is done, with the store that `glasses run` uses too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from glasses.assistant.config_file import load_config
from glasses.assistant.open_tools import open_caller, registry_of
from glasses.commands.run_tools import open_store
from glasses.commands.tool_sources import tools_from_elsewhere
from glasses.folders import own_state_folder
from glasses.runtime.bundle import LoadedBundle
from glasses.system import process_file
from glasses.tools.caller import ToolCall, ToolCaller
from glasses.tools.tool import ToolContext
from glasses.types import Float32Array

NOBODY_RINGS = "glasses run rings when it is due; it does not run now"
AGREE = "--yes agrees"


def opened(loaded: LoadedBundle, args: argparse.Namespace, stack: ExitStack) -> Callable[[Float32Array], str | None]:
    """What says what a tool says to a turn whose rows are in the KV cache; None where no tool is asked for.

    Raises InputError and ModelError as `open_store` and `open_caller` do.
    """
    store = open_store(_note)
    stack.callback(store.close)
    registry = registry_of(store)
    servers = stack.enter_context(tools_from_elsewhere(registry, load_config().config, note=_note, show=_note))
    if servers:
        servers.wait()
    context = ToolContext(datetime.now, store, tools=registry)
    kept = own_state_folder() / "tools" / f"{loaded.bundle.name}.npz"
    caller = open_caller(loaded, registry, context, kept=kept)
    if caller is None:
        return lambda rows: None
    while caller.learn():
        pass

    def said(rows: Float32Array) -> str | None:
        call = caller.plan(rows)
        return None if call is None else _called(caller, call, store_rings=lambda: len(store.open_dues()), yes=args.yes)

    return said


def _called(caller: ToolCaller, call: ToolCall, *, store_rings: Callable[[], int], yes: bool) -> str:
    n_before = store_rings()
    if yes and call.step == "call" and call.tool.must_ask:
        call.tool.agree()
        call = replace(call, step="confirm")
    elif call.tool.must_ask:
        _note(AGREE)
    said = caller.carry_out(call)
    if store_rings() > n_before and not process_file.is_running():
        _note(NOBODY_RINGS)
    return said


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
