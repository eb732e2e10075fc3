"""The report page of `quantize` in headless Chromium: it is drawn with its plots and loads nothing from elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx_ir", reason="the quantize extra is not installed")

from quantize.__main__ import main

pytestmark = [pytest.mark.system, pytest.mark.models, pytest.mark.filterwarnings("ignore")]
WIDTH, HEIGHT = 940, 1800
BLUE, RED = (0x1B, 0x6C, 0xA8), (0xC8, 0x55, 0x3D)  # the colours of A and B


def chromium(page: Path, *arguments: str) -> str:
    """Standard output of one run. Skips nothing: `make test-system` installs Chromium."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: make test-system installs it"
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile, *arguments]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    whisper = folder / "whisper.onnx"
    assert main(["export", "whisper-tiny-en-ct2", "--out", str(whisper)]) == 0
    out = folder / "report.html"
    shipped = "whisper-tiny-en-encoder-int8"
    assert main(["report", str(whisper), shipped, "--limit", "3", "--tasks", "0", "--html", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def backbone_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about two items of each set and task: it shows what a page holds, not how good a backbone is."""
    folder = tmp_path_factory.mktemp("backbone")
    shipped, smaller = "smollm2-135m-instruct-q4_1", str(folder / "mixed.gguf")
    assert main(["backbone", shipped, "--type", "mixed", "--out", smaller]) == 0
    out = folder / "report.html"
    assert main(["report", shipped, smaller, "--limit", "2", "--tasks", "2", "--html", str(out)]) == 0
    return out


def test_report_page_of_a_backbone_shows_divergence_and_tasks(backbone_page: Path) -> None:
    picture = backbone_page.with_suffix(".png")
    chromium(backbone_page, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}")
    bgr = cv2.imread(str(picture))
    assert bgr is not None
    for colour in (BLUE, RED):
        near = np.abs(bgr[..., ::-1].astype(int) - colour).max(axis=2) < 8
        assert near.sum() > 2000, "bars and curves are drawn"
    dom = chromium(backbone_page, "--dump-dom")
    for part in ("Divergence of the next token", "Turns that changed most", "Tasks, end to end", "Tensors by type"):
        assert part in dom
    for named in ("pictures named", "sounds named", "spoken answered as typed", "<polyline"):
        assert named in dom


def test_report_page_shows_its_plots(page: Path) -> None:
    picture = page.with_suffix(".png")
    chromium(page, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}")
    bgr = cv2.imread(str(picture))
    assert bgr is not None
    assert bgr.shape == (HEIGHT, WIDTH, 3)
    for colour in (BLUE, RED):
        near = np.abs(bgr[..., ::-1].astype(int) - colour).max(axis=2) < 8
        assert near.sum() > 2000, "the bars and curves of A and B are drawn"
    rows = (bgr.min(axis=2) < 200).any(axis=1)
    assert rows[: HEIGHT // 2].mean() > 0.3, "the upper half is full of text and plots"


def test_report_page_in_a_browser_has_every_part(page: Path) -> None:
    dom = chromium(page, "--dump-dom")
    for part in ("The better choice for a board: B", "Fidelity of every layer", "Rows that lost most", "<polyline"):
        assert part in dom
    assert "http" not in dom
