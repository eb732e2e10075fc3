"""The tools of `glasses ask` and `chat`: what a typed turn asks for is done, with the store of `glasses run`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import numpy as np

from glasses.assistant.config_file import load_config
from glasses.assistant.open_tools import open_caller, registry_of
from glasses.assistant.text_reader import TextReader
from glasses.commands.run_tools import open_store
from glasses.commands.tool_sources import tools_from_elsewhere
from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.given import Given
from glasses.system import process_file
from glasses.tools.call import ToolCall
from glasses.tools.caller import ToolCaller
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import Float32Array, UInt8Array

NOBODY_RINGS = "glasses run rings when it is due; it does not run now"
AGREE = "--yes agrees"


def open_typed(
    loaded: LoadedBundle, stack: ExitStack, picture: UInt8Array | None = None
) -> tuple[ToolCaller | None, ToolStore]:
    """What calls tools where turns are typed, and what it keeps, until `stack` is closed. None: the bundle has nothing
    that chooses. `picture` (H, W, 3) is what is in view. Raises InputError and ModelError as `open_store` and
    `open_caller` do.
    """
    store = open_store(_note)
    stack.callback(store.close)
    registry = registry_of(store)
    servers = stack.enter_context(tools_from_elsewhere(registry, load_config().config, note=_note, show=_note))
    if servers:
        servers.wait()
    reader = TextReader(lambda: seen(picture), loaded.text_encoder) if loaded.text_encoder else None
    context = ToolContext(datetime.now, store, tools=registry, text=reader, view=lambda: seen(picture))
    kept = own_state_folder() / "tools" / f"{loaded.bundle.name}.npz"
    caller = open_caller(loaded, registry, context, kept=kept)
    while caller and caller.learn():
        pass
    return caller, store


def seen(picture: UInt8Array | None) -> UInt8Array:
    """The picture. Raises InputError(NOT_FOUND) where there is none."""
    if picture is None:
        raise InputError(Reason.NOT_FOUND, "There is no picture: give one with --image.")
    return picture


def opened(
    loaded: LoadedBundle, inputs: Sequence[Given], args: argparse.Namespace, stack: ExitStack
) -> Callable[[Float32Array], str | None]:
    """What says what a tool says to the turn of these inputs, whose rows are in the KV cache; None where no tool is
    asked for. Raises as `open_typed`.
    """
    pictures = [one for one in inputs if isinstance(one, np.ndarray) and one.ndim == 3]
    caller, store = open_typed(loaded, stack, pictures[-1] if pictures else None)

    def said(rows: Float32Array) -> str | None:
        call = caller.plan(rows) if caller else None
        if caller is None or call is None:
            return None
        n_before = len(store.open_dues())
        sentence = _called(caller, call, yes=args.yes)
        if len(store.open_dues()) > n_before:
            note_who_rings()
        return sentence

    return said


def note_who_rings() -> None:
    """Tells that a timer needs `glasses run`, where that does not run. Raises InputError as `process_file` does."""
    if not process_file.is_running():
        _note(NOBODY_RINGS)


def _called(caller: ToolCaller, call: ToolCall, *, yes: bool) -> str:
    if yes and call.step == "call" and call.tool.must_ask:
        call.tool.agree()
        call = replace(call, step="confirm")
    elif call.tool.must_ask:
        _note(AGREE)
    return caller.carry_out(call)


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
