"""Tools of MCP servers, one of them from PyPI, and the wearer's documents, by voice through a real PortAudio."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr

from glasses.data import data_path
from glasses.decoders.speech import Voice
from glasses.evaluation.bench.virtual_room import Room
from glasses.runtime.bundle import open_voice
from glasses.types import SAMPLE_RATE_HZ
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.models, pytest.mark.live]
CONFIG = f"""
activation = "speech"
bundle = "pocket"

[mcp.servers.house]
command = "{sys.executable}"
args = ["{Path(__file__).with_name("house_server.py")}"]
examples = {{ open_blinds = ["Open the blinds.", "Let some light in, please."] }}

[mcp.servers.world]
command = "{sys.executable}"
args = ["-m", "mcp_server_time", "--local-timezone", "Europe/Paris"]
examples = {{ get_current_time = [
    "Ask the world clock about Tokyo.", "What does the world clock say for Paris?", "Check the world clock for Oslo.",
] }}

[documents]
folders = ["{data_path("models/eval/documents")}"]
"""
LEARN_S = 240.0  # for four tools, between two turns, on a machine that also does other things
LEARNED = {"house_open_blinds", "world_get_current_time", "search_documents"}


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    with open_voice() as opened:
        yield opened


def test_run_asks_before_a_server_is_used_and_quotes_documents(room: Room, voice: Voice, tmp_path: Path) -> None:
    env = {name: str(tmp_path / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    config = tmp_path / "xdg_config_home" / "glasses" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG)
    learned = tmp_path / "xdg_state_home" / "glasses" / "tools" / "pocket.npz"

    def ask(words: str) -> str:
        before = len(glasses_run.events)
        pcm = np.concatenate(list(voice.speak([words])))
        room.play(soxr.resample(pcm, voice.rate_hz, SAMPLE_RATE_HZ).astype(np.float32)).wait(60)
        return str(glasses_run.wait_for("reply", after=before, outcome="completed")["answer"])

    with GlassesRun(room, env=env) as glasses_run:
        glasses_run.wait_for("note", text="MCP server house: 1 tools")
        glasses_run.wait_for("note", text="MCP server world: 2 tools")
        until_s = time.monotonic() + LEARN_S
        while not (learned.exists() and set(np.load(learned)["names"]) >= LEARNED):
            assert time.monotonic() < until_s, "the tools were not learned"
            time.sleep(0.2)
        assert ask("Open the blinds.").endswith("May I use it from now on?")
        assert ask("Yes.") == "The blinds are open."
        assert ask("Open the blinds.") == "The blinds are open."
        assert ask("Ask the world clock about Madrid.").endswith("May I use it from now on?")
        assert ask("Yes.").startswith("Timezone Europe/Madrid, ")
        assert ask("What do my notes say about the boiler?").startswith("Your file house says, under Boiler: ")
        assert glasses_run.stop() == 0
