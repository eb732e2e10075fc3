"""`glasses chat` as a process, with what is typed on its standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glasses.commands.chat import FORGET, MAX_CHARACTERS

pytestmark = pytest.mark.models


def test_chat_each_turn_knows_those_before_until_they_are_forgotten(tmp_path: Path) -> None:
    typed = ["What is the capital of Italy?", "And of Spain?", "x" * 3 * MAX_CHARACTERS, FORGET, "", "And of Spain?"]
    done = subprocess.run(
        [sys.executable, "-m", "glasses", "chat", "--json"],
        input="\n".join(typed),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["past_turns"] for reply in replies] == [0, 1, 0]
    assert "Madrid" in replies[1]["answer"]
    assert "at most 1999 characters" in done.stderr
