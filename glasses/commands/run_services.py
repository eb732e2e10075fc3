"""What `glasses run` has running beside the spine: dashboard, recorder, governor, memory's figures. Knows no gate.

`add_options` gives `run` its options, `RunServices` does the rest: its `saw` is one more `watch` of the
assistant.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from glasses.assistant.reply import reply_fields
from glasses.decoders.hud import render
from glasses.errors import InputError, ModelError, Reason
from glasses.events import Outcome, Reply, ReplyState, TurnCompleted, TurnSignal
from glasses.recording.encryption import read_public_key
from glasses.recording.entries import Answered, decision_of
from glasses.recording.folder import Limits as Kept
from glasses.recording.folder import default_folder
from glasses.recording.recorder import Recorder
from glasses.system.board import DEFAULT_BOARD, load_board
from glasses.system.board_sensors import read_board
from glasses.system.governor import Governed, Limits, Reading, step
from glasses.types import AudioChunk, Button, DeviceChange, Frame, Latents, Load, OwnVoice, Wiped

if TYPE_CHECKING:
    from glasses.dashboard.status import Panel

GOVERN_S = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --dashboard, --record and what is kept of it, --seal and --board."""
    parser.add_argument(
        "--dashboard", nargs="?", const="127.0.0.1:8766", metavar="HOST:PORT", help="a page to look at, and a mute"
    )
    parser.add_argument(
        "--record", nargs="?", type=Path, const=default_folder(), metavar="DIR", help="keep what sensors give, as MCAP"
    )
    kept = Kept()
    parser.add_argument(
        "--record-hours", type=float, default=kept.max_age_s / 3600, metavar="H", help="older go (default: 24)"
    )
    parser.add_argument(
        "--record-mb", type=float, default=kept.max_bytes / 2**20, metavar="MB", help="and the oldest beyond (2048)"
    )
    parser.add_argument("--seal", type=Path, metavar="PEM", help="public key: only its owner can read the recordings")
    board = os.environ.get("GLASSES_BOARD", DEFAULT_BOARD)
    parser.add_argument("--board", default=board, help=f"$GLASSES_BOARD, else {DEFAULT_BOARD}: when it is too hot")


def _limits(args: argparse.Namespace) -> Kept:
    """Raises InputError(BAD_INPUT)."""
    if not (0 < args.record_hours < 1e6 and 1 <= args.record_mb < 1e9):
        raise InputError(Reason.BAD_INPUT, "--record-hours must be above 0, --record-mb at least 1")
    return Kept(max_bytes=round(args.record_mb * 2**20), max_age_s=3600 * args.record_hours)


class RunServices:
    """Everything that was asked for, until the stack closes. `governed` is the governor's last word.

    `read` says how the board is, `held` what the memory holds, seconds and MB, and `vitals` what else the page shows of
    the spine (fields of dashboard.status.Vitals); all may be replaced.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        stack: ExitStack,
        *,
        mute: Callable[[bool], None],
        wipe: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Raises InputError (board, folder, key, port), ModelError(NOT_INSTALLED) for a page without its extra."""
        board = load_board(args.board)
        self._limits, self._display = Limits.below(board.throttle_c or 80), board.display
        self.governed = Governed()
        self.read: Callable[[int], Reading] = read_board
        self.held: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
        self.vitals: Callable[[], dict[str, Any]] = dict
        self._say, self._wipe = say, wipe
        self._recorder = self._feed = self.panel = None
        if args.record:
            key = read_public_key(args.seal) if args.seal else None
            about = {"board": args.board, "bundle": args.bundle, "address": args.address}
            about |= {"memory": "no" if args.no_memory else "yes", "remember_s": f"{60 * args.remember:g}"}
            about["transcript"] = "yes" if args.transcript else "no"
            self._recorder = Recorder(args.record, about, limits=_limits(args), public_key=key)
            stack.callback(self._recorder.close)
        if args.dashboard:
            self._open_page(args.dashboard, stack, mute)
        self._over = threading.Event()
        thread = threading.Thread(target=self._govern, name="governor", daemon=True)
        thread.start()
        stack.callback(thread.join, 5)
        stack.callback(self._over.set)

    def saw(self, what: Any) -> None:
        """Everything that the spine lets watch. Never blocks."""
        if self._feed:
            self._feed.saw(what)
        if self.panel and isinstance(what, DeviceChange) and what.state in ("muted", "unmuted"):
            self.panel.muted(what.state == "muted")
        if self.panel and self._display and isinstance(what, (TurnSignal, Reply)):
            shown = what.text if isinstance(what, Reply) and what.outcome is not Outcome.TIMED_OUT else ""
            self.panel.showed(render(shown, self._display)[0].rgb())
        if self._recorder:
            self._record(self._recorder, what)

    def allows(self, load: Load) -> bool:
        """Whether this load may run now."""
        return self.governed.allows(load)

    def _record(self, recorder: Recorder, what: Any) -> None:
        """Puts what the ear is given, what it decides and what is answered, in that order."""
        if isinstance(what, (AudioChunk, Frame, Button, OwnVoice, ReplyState, TurnSignal, DeviceChange, Wiped)):
            recorder.put(what)
        elif isinstance(what, TurnCompleted):
            for part in what.turn.inputs:
                if isinstance(part, Latents):
                    recorder.put(part)
            recorder.put(decision_of(what))
        elif isinstance(what, Reply) and what.ended:
            fields = reply_fields(what)
            wait_ms = {"silence": fields["decided_ms"], **fields["work_after_ms"]}
            found = (what.ended.span.decided_ns, what.draft.turn.id, what.text, wait_ms)
            recorder.put(Answered(*found, what.outcome or Outcome.EMPTY, what.n_tokens_played))

    def _open_page(self, address: str, stack: ExitStack, mute: Callable[[bool], None]) -> None:
        if find_spec("starlette") is None or find_spec("uvicorn") is None:
            raise ModelError(
                Reason.NOT_INSTALLED, "the dashboard needs, from the checkout: pip install -e '.[service]'"
            )
        # The extra `service` may be missing, and everything else works without it.
        from glasses.dashboard.feed import PanelFeed  # noqa: PLC0415
        from glasses.dashboard.server import serving  # noqa: PLC0415
        from glasses.dashboard.status import Panel  # noqa: PLC0415

        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(Reason.BAD_INPUT, f"--dashboard {address}: HOST:PORT, as 127.0.0.1:8766")
        self.panel = Panel()
        self._feed = PanelFeed(self.panel)
        address_and_port = {"host": host.strip("[]"), "port": int(port)}
        url = stack.enter_context(serving(self.panel, mute=mute, wipe=self._wipe, **address_and_port))
        self.panel.state("listening")
        self._say(f"dashboard: {url}")

    def _govern(self) -> None:
        process = psutil.Process()
        while not self._over.wait(GOVERN_S):
            reading = self.read(time.monotonic_ns())
            before, self.governed = self.governed, step(self.governed, reading, self._limits)
            if self.governed.shed != before.shed:
                shed = f"shed: {', '.join(self.governed.shed) or 'nothing'}"
                self._say(f"{shed} ({self.governed.why or 'back'})")
                if self.panel:
                    self.panel.decided("governor", shed, self.governed.why or "all is well again")
            if self.panel:
                self._show(self.panel, reading, process.memory_info().rss / 1e6)

    def _show(self, panel: Panel, reading: Reading, rss_mb: float) -> None:
        told = {name: value for name, value in asdict(reading).items() if name != "t_ns"} | self.vitals()
        told |= {"rss_mb": rss_mb, "shed": self.governed.shed, "why": self.governed.why}
        told["remembered_s"], told["remembered_mb"] = self.held()
        if self._recorder:
            told["recorded_mb"] = self._recorder.bytes_written / 1e6
            told["counts"] = {**told.get("counts", {}), "recording_lost": self._recorder.n_lost}
        panel.vitals(**told)
