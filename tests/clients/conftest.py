"""A `glasses serve` process with the pocket bundle, as a user starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOKEN = "sk-0123456789abcdef"


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where OpenAI's clients find it; its log must hold no error at the end."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "token").write_text(TOKEN + "\n")
    options = ("--listen", "127.0.0.1:0", "--tokens", str(folder / "tokens"), "--token-file", str(folder / "token"))
    command = [sys.executable, "-m", "glasses", "serve", "--json", *options]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as p,
    ):
        try:
            assert p.stdout
            yield json.loads(p.stdout.readline())["address"].replace("ws://", "http://") + "/v1"
        finally:
            p.send_signal(signal.SIGINT)
            p.wait(60)
    said = (folder / "log").read_text()
    assert "ERROR" not in said, said
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def eval_folder() -> Path:
    """The recordings and pictures that are held out for evaluation."""
    return Path(__file__).parents[2] / "models" / "eval"
