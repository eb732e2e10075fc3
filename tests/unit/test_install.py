"""What `pip install .` puts into an environment is all that the commands need: no checkout beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def glasses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment that holds the wheel; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a copy of what is committed, as the build writes beside what it reads
    source.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    copy = ["cp", "--parents", "--no-dereference", "-t", source, *listed.strip("\0").split("\0")]
    subprocess.run(copy, cwd=ROOT, check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "-w", folder, source], check=True)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (wheel,) = folder.glob("glasses-*.whl")
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--quiet", "--no-deps", wheel], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "dependencies.pth").write_text("\n".join(ours))
    return environment / "bin" / "glasses"


def run(glasses: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [glasses, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_installed_wheel_finds_manifests_artifacts_and_boards(glasses: Path, tmp_path: Path) -> None:
    models = json.loads(run(glasses, tmp_path, "models", "list", "--json"))["models"]
    names = {path.stem for path in (ROOT / "models" / "manifests").glob("*.toml")}
    assert {model["name"] for model in models} == names
    installed = glasses.parents[1]
    committed = [model for model in models if model["name"] == "yamnet-int8"]
    assert [Path(file["path"]).is_relative_to(installed) for file in committed[0]["files"]] == [True]
    program = (
        "from glasses.system.board import board_names; from glasses.commands import evaluate, check; "
        "from glasses.evaluation.bench.latency import SPEECH; from glasses.recording.demo_session import load_session; "
        "load_session(); print(len(board_names()), len(list(evaluate.HELD_OUT.iterdir())), len(list(SPEECH.iterdir())))"
    )
    python = glasses.with_name("python")
    ran = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    folders = ("hardware/boards", "models/eval", "models/eval/speech")
    assert ran.stdout.split() == [str(len(list((ROOT / folder).iterdir()))) for folder in folders]


def test_installed_wheel_has_every_command(glasses: Path, tmp_path: Path) -> None:
    assert "evaluate" in run(glasses, tmp_path, "--help")


def test_installed_wheel_takes_no_other_name_in_site_packages(glasses: Path) -> None:
    (site_packages,) = glasses.parents[1].glob("lib/python*/site-packages")
    taken = {path.name for path in site_packages.iterdir() if not path.name.startswith(("glasses-", "_", "dep"))}
    assert taken == {"glasses", "firmware_bridge", "quantize"}


@pytest.mark.models
def test_installed_wheel_pulls_answers_and_plays_the_demo(glasses: Path, tmp_path: Path) -> None:
    run(glasses, tmp_path, "models", "pull")
    assert "Paris" in run(glasses, tmp_path, "ask", "What is the capital of France?")
    turns = json.loads(run(glasses, tmp_path, "demo", "--fast", "--json"))["turns"]
    assert any("Paris" in json.dumps(turn) for turn in turns)
    assert (tmp_path / "out" / "demo" / "sheet.png").exists()
