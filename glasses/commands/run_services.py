"""What `glasses run` runs beside the pipeline: dashboard, recorder, governor, and the HUD's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import psutil

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import AssistantConfig
from glasses.assistant.hud_text import HudText
from glasses.assistant.observers import Observer
from glasses.assistant.recording_observer import RecordingObserver
from glasses.commands.load_governor import INTERVAL_S, LoadGovernor
from glasses.commands.run_vitals import vitals
from glasses.decoders.hud import render_newest
from glasses.devices.local import DeviceFactory
from glasses.errors import ModelError, Reason
from glasses.recording.encryption import read_public_key
from glasses.recording.folder import Limits as KeepLimits
from glasses.recording.folder import default_folder
from glasses.recording.recorder import Recorder
from glasses.system.board import load_board
from glasses.system.board_sensors import read_board
from glasses.system.governor import Governed, Limits, Reading

if TYPE_CHECKING:
    from glasses.dashboard.status import Panel

MUTE_WAIT_S = 3.0  # the page answers this late at the latest; the listener's longest step takes about as long


class RunServices:
    """What the configuration asks for, until the stack closes. Made before the assistant, started with it."""

    def __init__(
        self,
        config: AssistantConfig,
        stack: ExitStack,
        *,
        read_board: Callable[[int], Reading] = read_board,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`read_board` is asked every `interval_s` how the board is.

        Raises InputError (board, folder, key), ModelError(NOT_INSTALLED) for a page without its extra.
        """
        board = load_board(config.board)
        self._config, self._display = config, board.display
        self.recorder = self._open_recorder(stack) if config.recording.enabled else None
        self.panel = _open_panel() if config.dashboard.enabled else None
        self.governor = LoadGovernor(Limits.below(board.throttle_c or 80), read_board, interval_s=interval_s)

    @property
    def observers(self) -> list[Observer]:
        """What wants to be told of the pipeline's events."""
        found: list[Observer] = [RecordingObserver(self.recorder)] if self.recorder else []
        if self.panel:
            from glasses.dashboard.feed import PanelFeed  # noqa: PLC0415 (the extra may be missing)

            found.append(PanelFeed(self.panel))
        return found

    def hud(self, show_on_glasses: Callable[[str], None] | None) -> list[Observer]:
        """The observer that decides what a HUD shows; none where there is no HUD, on glasses or on the page."""
        shows = [show_on_glasses] if show_on_glasses else []
        shows += [self._show_on_page] if self.panel and self._display else []
        return [HudText(shows, clear_after_s=self._config.hud.clear_after_s)] if shows else []

    @contextmanager
    def running(self, assistant: Assistant, devices: DeviceFactory, note: Callable[[str], None]) -> Iterator[None]:
        """Serves the page and governs while this lasts; `note` gets sentences for whoever reads the screen.

        Raises InputError where the page's port is taken.
        """
        process = psutil.Process()

        def on_change(governed: Governed) -> None:
            shed = f"shed: {', '.join(governed.shed) or 'nothing'}"
            note(f"{shed} ({governed.why or 'back'})")
            if self.panel:
                self.panel.add_decision("governor", shed, governed.why or "all is well again")

        def on_reading(reading: Reading, governed: Governed) -> None:
            if self.panel:
                told = {name: value for name, value in asdict(reading).items() if name != "t_ns"}
                told |= vitals(assistant, devices, self.recorder)
                told |= {"rss_mb": process.memory_info().rss / 1e6, "shed": governed.shed, "why": governed.why}
                self.panel.set_vitals(**told)

        with ExitStack() as stack:
            if self.panel:
                stack.enter_context(self._serving(self.panel, assistant, note))
            stack.enter_context(self.governor.running(on_change, on_reading))
            yield

    def _open_recorder(self, stack: ExitStack) -> Recorder:
        config = self._config
        kept = config.recording
        key = read_public_key(kept.encrypt_to) if kept.encrypt_to else None
        limits = KeepLimits(max_bytes=round(kept.max_mb * 2**20), max_age_s=3600 * kept.max_hours)
        recorder = Recorder(kept.folder or default_folder(), config.recorded_with(), limits=limits, public_key=key)
        stack.callback(recorder.close)
        return recorder

    @contextmanager
    def _serving(self, panel: Panel, assistant: Assistant, note: Callable[[str], None]) -> Iterator[None]:
        from glasses.dashboard.server import serving  # noqa: PLC0415 (the extra may be missing)

        host, port = self._config.dashboard.host_and_port()
        with serving(
            panel, mute=partial(assistant.mute, wait_s=MUTE_WAIT_S), wipe=assistant.wipe, host=host, port=port
        ) as url:
            panel.set_state("listening")
            note(f"dashboard: {url}")
            yield

    def _show_on_page(self, text: str) -> None:
        if self.panel and self._display:
            self.panel.set_hud(render_newest(text, self._display).rgb())


def _open_panel() -> Panel:
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ModelError(Reason.NOT_INSTALLED, "the dashboard needs, from the checkout: pip install -e '.[service]'")
    from glasses.dashboard.status import Panel  # noqa: PLC0415 (the extra may be missing)

    return Panel()
