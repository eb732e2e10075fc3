"""`glasses chat`: a conversation that is typed, answered by the responder of `glasses run`."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack

import numpy as np

from glasses.assistant import persona as personas
from glasses.assistant.config_file import load_config
from glasses.assistant.reply import reply_fields
from glasses.assistant.reply_writer import write_locally
from glasses.assistant.responder import Responder
from glasses.assistant.tool_turn import CalledTools
from glasses.commands import ask_tools, bundle_option
from glasses.commands.log_thread import write_unbuffered
from glasses.events import Draft, Outcome, Reply, ReplyState, TurnCompleted, TurnSpan
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.prompt import request_of, rows_of
from glasses.system.supervised import SupervisedThread
from glasses.tools.store import ToolStore
from glasses.types import Float32Array, Turn

MAX_CHARACTERS = 2000  # of a line, with its end: more than is said in one breath, and there is room for it in the cache
FORGET = "/forget"
_HELP = f"type what you would say, Enter ends a turn; {FORGET} forgets all turns, Ctrl-D quits"
_EXAMPLE = """\
examples:
  glasses chat                                     a prompt; each turn knows the turns before
  printf '%s\\n' "My name is Sam." "What is my name?" | glasses chat
  printf '%s\\n' "Set a timer." "Three minutes." | glasses chat
  glasses chat --bundle desk --json                one JSON line a reply
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `chat`."""
    parser = subparsers.add_parser(
        "chat",
        description="Have a conversation by typing, as `glasses run` has it by voice.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bundle_option.add_option(parser, default=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON line a reply")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answers what is typed until it ends. Raises GlassesError where the bundle or the configuration cannot be used."""
    config = load_config({"bundle": args.bundle} if "bundle" in args else {}).config
    persona = personas.load(config.persona)
    with ExitStack() as stack:
        loaded = open_bundle(config.bundle, system=persona.system)
        stack.callback(loaded.close)
        caller, kept = ask_tools.open_typed(loaded, stack)
        tools = CalledTools(caller, lambda said: write_unbuffered(1, f"{said}\n")) if caller else None
        chat = _Chat(loaded, tools, kept, persona.max_tokens, minutes=config.conversation.minutes, as_json=args.json)
        reader = SupervisedThread(chat.read, "typed", policy="end", on_failure=lambda error: chat.responder.stop())
        reader.start()
        chat.responder.run()
    if reader.failure:
        raise reader.failure
    return 0


class _Chat:
    """`read` gives `responder` one typed turn after the other, each once the one before is answered."""

    def __init__(
        self,
        loaded: LoadedBundle,
        tools: CalledTools | None,
        kept: ToolStore,
        max_tokens: int,
        *,
        minutes: float,
        as_json: bool,
    ) -> None:
        self._loaded, self._kept, self._as_json = loaded, kept, as_json
        self._n_due = len(kept.open_dues())
        self._replied = threading.Event()
        self.responder = Responder(
            loaded,
            None,
            None,
            on_state=self._on_state,
            on_reply=self._on_reply,
            on_text=lambda text: None if as_json else write_unbuffered(1, text),
            tools=tools,
            write=write_locally(loaded.backbone, max_tokens),
            conversation_minutes=minutes,
        )

    def read(self) -> None:
        """Until the input ends."""
        is_terminal = sys.stdin.isatty() and not self._as_json
        if is_terminal:
            write_unbuffered(1, f"{_HELP}\n")
        number = 0
        while True:
            if is_terminal:
                write_unbuffered(1, "> ")
            line = rest = sys.stdin.readline(MAX_CHARACTERS)
            if not line:
                break
            while rest and not rest.endswith("\n"):
                rest = sys.stdin.readline(MAX_CHARACTERS)
            text = line.strip()
            if len(line) == MAX_CHARACTERS and not line.endswith("\n"):
                print(f"note: not answered: a line is at most {MAX_CHARACTERS - 1} characters", file=sys.stderr)
            elif text == FORGET:
                self.responder.forget().wait()
            elif text:
                number += 1
                self._ask(number, text)
        self.responder.stop()

    def _ask(self, number: int, text: str) -> None:
        self._replied.clear()
        now_ns = time.monotonic_ns()
        turn = Turn(number, now_ns, "typed", (text,))
        self.responder.put(Draft(turn, self._rows(text), True, True, False, (now_ns, now_ns)))
        self.responder.put(TurnCompleted(turn, TurnSpan(now_ns, False, None, now_ns), None, now_ns))
        self._replied.wait()

    def _rows(self, text: str) -> Float32Array:
        return np.ascontiguousarray(rows_of(self._loaded.backbone, request_of(self._loaded, [text])))

    def _on_state(self, state: ReplyState) -> None:
        """Nothing here waits for a reply to be audible."""

    def _on_reply(self, reply: Reply) -> None:
        if self._as_json:
            write_unbuffered(1, json.dumps(reply_fields(reply), ensure_ascii=False) + "\n")
        else:
            write_unbuffered(1, "\n" if reply.outcome is Outcome.COMPLETED else "[no answer]\n")
        if (n_due := len(self._kept.open_dues())) > self._n_due:
            ask_tools.note_who_rings()
        self._n_due = n_due
        self._replied.set()
