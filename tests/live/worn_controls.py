"""A program for test_controls.py: the assistant as `glasses run` puts it together, and a tool's calls of its controls.

Arguments: a folder for what it keeps, a video as camera. Prints one JSON line for each call, and ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from glasses.assistant.announcements import Announcements
from glasses.assistant.answer import warm_up
from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.device_controls import DeviceControls
from glasses.assistant.observers import FunctionObserver, Observers
from glasses.devices.local import LocalDevices
from glasses.events import Announced
from glasses.runtime.bundle import open_bundle, open_voice
from glasses.system.board_sensors import read_board
from glasses.tools.builtin import device
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Button

WAIT_S = 60.0
PAUSE_S = 1.0  # by which the test tells apart what was said


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until_s:
            os._exit(1)  # which fails the test
        time.sleep(0.01)


def main(folder: Path, video: str) -> None:
    told = threading.Semaphore(0)
    observer = FunctionObserver(lambda one: told.release() if one.state == "told" else None, Announced)
    devices, voice, announcements = LocalDevices(camera_source=video), open_voice(), Announcements()
    controls = DeviceControls(
        devices,
        voice,
        announcements,
        settings_file=folder / "settings.json",
        pictures=folder / "pictures",
        read_board=read_board,
        note=lambda sentence: None,
    )
    loaded = open_bundle()
    with Observers([observer]) as observers:
        assistant = Assistant(NO_MEMORY, loaded, voice, devices, observers=observers, announcements=announcements)
        controls.attach(assistant)
        context = ToolContext(datetime.now, ToolStore(":memory:"), controls)

        def call(tool: Tool, **arguments: object) -> None:
            said = tool.call(context, arguments)
            print(json.dumps({"tool": tool.name, "said": said}), flush=True)

        def use() -> None:
            announcements.say("One two three four five six.")
            told.acquire(timeout=WAIT_S)
            time.sleep(PAUSE_S)
            call(device.set_volume, level=40)
            announcements.say("One two three four five six.")
            told.acquire(timeout=WAIT_S)
            time.sleep(PAUSE_S)
            call(device.take_picture)
            call(device.play_sound, name="a dog")
            told.acquire(timeout=WAIT_S)
            call(device.status)
            call(device.mute)
            wait_for(lambda: assistant.muted)
            assistant.events.put(Button(time.monotonic_ns(), "tap"))
            wait_for(lambda: not assistant.muted)
            assistant.stop()

        threading.Thread(target=use, daemon=True).start()
        assistant.run(lambda: warm_up(loaded, voice))
    loaded.close()
    voice.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
