"""mcp-server-time, a server of others from PyPI, as tools of the assistant: listed, agreed to, called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from glasses.__main__ import main

pytestmark = pytest.mark.clients
CONFIG = f"""
[mcp.servers.time]
command = "{sys.executable}"
args = ["-m", "mcp_server_time", "--local-timezone", "Europe/Paris"]
examples = {{ get_current_time = ["What time is it in Tokyo?"] }}
"""


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config" / "glasses").mkdir(parents=True)
    (tmp_path / "config" / "glasses" / "config.toml").write_text(CONFIG)


def test_server_from_pypi_is_listed_asks_first_and_tells_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "--json"]) == 0
    told = capsys.readouterr()
    named = {one["name"]: one for one in json.loads(told.out)}
    assert "time_get_current_time" in named, told.err
    found = named["time_get_current_time"]
    assert (found["origin"], found["asks_first"]) == ("MCP server time", True)
    assert found["examples"] == ["What time is it in Tokyo?"]

    call = ["tools", "time_get_current_time", "timezone=Asia/Tokyo"]
    assert main(call) == 2
    assert "May I use it from now on?" in capsys.readouterr().err
    assert main([*call, "--yes"]) == 0
    assert main(call) == 0  # agreed to, and kept
    assert capsys.readouterr().out.count("Asia/Tokyo") == 2

    assert main(["tools", "time_get_current_time", "timezone=Nowhere"]) == 2
    assert "time says: " in capsys.readouterr().err
    assert main(["tools", "time_convert_time", "source_timezone=UTC", "time=16:30"]) == 2
    assert "target_timezone" in capsys.readouterr().err
