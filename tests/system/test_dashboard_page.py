"""The dashboard in headless Chromium, on a desk and on a phone: it is drawn and kept up to date, and its mute works."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from glasses.dashboard.server import serving
from glasses.dashboard.status import Bar, Panel, TurnView
from glasses.decoders import hud
from glasses.media.pictures import read_image
from glasses.recording.demo_session import SHIPPED
from glasses.system.board import load_board
from glasses.types import AudioChunk, Frame

pytestmark = pytest.mark.system
RED = np.array([0xE5, 0x48, 0x4D])
DESK, PHONE = (1280, 900), (390, 844)


@dataclass
class Browser:
    """One page of Chromium over its debugging protocol."""

    socket: ClientConnection
    ids: Iterator[int]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> None:
        """Waits up to a minute (for busy machines) until a condition holds on the page."""
        end_s = time.monotonic() + 60
        while not self.value(script):
            assert time.monotonic() < end_s, (
                f"never came true: {script}; the page: {self.value('document.body.innerText')}"
            )
            time.sleep(0.1)

    def open(self, url: str, size: tuple[int, int]) -> None:
        mobile = size == PHONE
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=mobile
        )
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def screenshot(self, path: Path) -> np.ndarray:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        picture = cv2.imread(str(path))
        assert picture is not None
        return picture[:, :, ::-1]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program, profile = shutil.which("chromium"), tmp_path_factory.mktemp("chromium")
    assert program, "chromium is missing: make test-system installs it"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}")
    process = subprocess.Popen([program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        end_s = time.monotonic() + 120
        while not (told.exists() and "\n" in told.read_text()):
            assert process.poll() is None, "chromium ended"
            assert time.monotonic() < end_s
            time.sleep(0.1)
        port = told.read_text().split("\n")[0]
        (page,) = [t for t in httpx.get(f"http://127.0.0.1:{port}/json").json() if t["type"] == "page"]
        with connect(page["webSocketDebuggerUrl"], max_size=64 << 20) as socket:
            yield Browser(socket, itertools.count(1))
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Worn:
    panel: Panel
    muted: list[bool]
    url: str


@pytest.fixture
def worn() -> Iterator[Worn]:
    """A panel filled as in the shipped minute."""
    panel, muted = Panel(), list[bool]()
    panel.set_camera(Frame(0, 0, read_image(SHIPPED / "frames" / "036.jpg")))
    panel.set_hud(hud.render("A giraffe.", load_board().require_display(), "0:37")[0].rgb())
    panel.set_microphone(AudioChunk(0, 0, np.full(320, 2000, np.int16), 16_000))
    panel.set_state("listening")
    now_ns = time.monotonic_ns()
    panel.add_decision("voice", "speech", "somebody speaks", now_ns - 9_000_000_000)
    panel.add_decision("address", "opened", "a long touch", now_ns - 8_000_000_000)
    panel.add_decision("camera", "looked", "the touch was a long one", now_ns - 8_000_000_000)
    panel.add_decision("address", "closed", "500 ms of silence after speech", now_ns - 5_000_000_000)
    bars = (Bar("encode", -1400, -1290), Bar("connect", -1290, -1260), Bar("prefill", -1260, -420))
    late = (
        Bar("wait for silence", 0, 500),
        Bar("encode", 505, 540),
        Bar("prefill", 540, 610),
        Bar("first piece", 610, 660),
    )
    panel.add_turn(TurnView(1, now_ns, "tap", "The capital of France is Paris.", "spoken", (*bars, *late), 742.0))
    panel.add_turn(TurnView(2, now_ns, "long_press", "<b>A giraffe</b>.", "interrupted", (*bars, *late), 760.0))
    panel.set_vitals(rss_mb=358, free_mb=2900, heat_c=61.5, battery_percent=64, remembered_s=300, remembered_mb=8.1)
    panel.set_vitals(link="Frame, -61 dBm", shed=("camera",), why="71 deg C", counts={"sound_lost": 0, "overruns": 2})
    with serving(panel, mute=lambda on: muted.append(on) is None, wipe=lambda: None, port=0) as url:
        yield Worn(panel, muted, url)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_dashboard_page_draws_everything_and_fits(
    browser: Browser, worn: Worn, size: tuple[int, int], tmp_path: Path
) -> None:
    browser.open(worn.url, size)
    browser.until("document.querySelectorAll('#turns svg').length === 2")
    browser.until("document.getElementById('camera').naturalWidth > 0")
    browser.until("document.getElementById('hud').naturalWidth > 0")
    assert "token" not in browser.value("location.href")
    text = browser.value("document.body.innerText")
    for part in ("listening", "500 ms of silence", "Frame, -61 dBm", "without camera: 71 deg C", "first sound"):
        assert part in text or part in browser.value("document.body.textContent")
    assert "<b>A giraffe</b>." in text, "a model's words are text, never markup"
    assert browser.value("document.documentElement.scrollWidth") <= size[0], "nothing sticks out sideways"
    names = "[...document.querySelectorAll('#turns svg text')]"
    assert browser.value(f"Math.min(...{names}.map((name) => name.getBBox().x))") >= 0, "no stage's name is cut off"
    seen = browser.screenshot(Path(os.environ.get("GLASSES_SCREENSHOTS", tmp_path)) / f"dashboard-{size[0]}.png")
    near = np.abs(seen[-60:].astype(int) - RED).max(axis=2) < 12
    assert near.sum() > 5000, "the mute button is in reach without scrolling"


def test_dashboard_page_mute_by_tap_and_key_shows_the_glasses_state(browser: Browser, worn: Worn) -> None:
    browser.open(worn.url, PHONE)
    browser.until("document.getElementById('state').textContent === 'listening'")
    browser.value("document.getElementById('mute').click()")
    browser.until("document.body.classList.contains('muted')")
    assert worn.muted == [True]
    assert "nothing is heard or seen" in browser.value("document.getElementById('state').textContent")
    browser.until("document.getElementById('camera').hidden")
    assert browser.value("document.getElementById('microphone').value") <= -70
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="m", code="KeyM", text="m")
    browser.until("!document.body.classList.contains('muted')")
    assert worn.muted == [True, False]
    worn.panel.set_muted(True)  # by voice, say: the page did not do it and shows it all the same
    browser.until("document.body.classList.contains('muted')")


def test_dashboard_page_lost_connection_is_not_shown_as_silence(browser: Browser, worn: Worn) -> None:
    panel = Panel()
    with serving(panel, mute=lambda on: True, wipe=lambda: None, port=0) as url:
        browser.open(url, PHONE)
        browser.until("document.getElementById('state').textContent === 'starting'")
    browser.until("document.getElementById('state').textContent.startsWith('no connection')")
