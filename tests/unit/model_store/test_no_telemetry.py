"""Nothing is sent anywhere: onnxruntime collects no data that it could send."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[3] / "models" / "artifacts" / "sound-connector-pocket.onnx"


@pytest.mark.parametrize("package", ["glasses", "quantize", "models.recipes"])
def test_onnxruntime_leaves_no_device_id_and_no_events(package: str, tmp_path: Path) -> None:
    opened = f"import {package}, onnxruntime; onnxruntime.InferenceSession({str(MODEL)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    subprocess.run([sys.executable, "-c", opened], env=environment | places, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
