"""Another agent, the SDK's own client, uses worn glasses through `glasses mcp`, as a user would set it up."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import sys
import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import AudioContent, CallToolResult, ImageContent, Implementation, TextContent

from glasses.audio.sound_files import read_audio
from glasses.evaluation.bench.virtual_room import Room
from tests.live.conftest import SPEECH
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.live, pytest.mark.models]
ALLOW = "[mcp.allow]\nlook = true\nlisten = true\nsay = true\n"


def text_of(result: CallToolResult) -> str:
    (one,) = result.content
    assert isinstance(one, TextContent)
    return one.text


def write_video(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for i in range(50):
        writer.write(np.full((240, 320, 3), (200, 5 * i, 20), np.uint8))
    writer.release()


def test_agent_looks_listens_says_and_is_refused_what_is_not_allowed(room: Room, tmp_path: Path) -> None:
    write_video(tmp_path / "view.avi")
    (tmp_path / "config" / "glasses").mkdir(parents=True)
    (tmp_path / "config" / "glasses" / "config.toml").write_text(ALLOW)
    (tmp_path / "run").mkdir(mode=0o700)
    names = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "RUNTIME_DIRECTORY": "run"}
    env = {name: str(tmp_path / folder) for name, folder in names.items()}
    server = StdioServerParameters(command=sys.executable, args=["-m", "glasses", "mcp"], env={**os.environ, **env})

    async def use(glasses: GlassesRun) -> None:
        async with Client(server, client_info=Implementation(name="tester", version="1")) as client:

            async def call(tool: str, **arguments: Any) -> CallToolResult:
                return await client.call_tool(tool, arguments)

            assert [one.name for one in (await client.list_tools()).tools] == [
                "look",
                "listen",
                "say",
                "show",
                "recall",
            ]
            (picture,) = (await call("look")).content
            assert isinstance(picture, ImageContent)
            seen = cv2.imdecode(np.frombuffer(base64.b64decode(picture.data), np.uint8), cv2.IMREAD_COLOR)
            assert seen is not None
            assert abs(int(seen[100, 100, 0]) - 200) < 12
            room.play(read_audio(SPEECH / "question-090.ogg"))
            (sound,) = (await call("listen", seconds=2.0)).content
            assert isinstance(sound, AudioContent)
            with wave.open(io.BytesIO(base64.b64decode(sound.data))) as file:
                pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
                assert abs(len(pcm) / file.getframerate() - 2.0) < 0.1
            assert np.abs(pcm).max() > 1000
            refused = await call("recall")
            assert refused.is_error
            assert "recall = true in config.toml" in text_of(refused)
            assert text_of(await call("say", text="The kettle has boiled.")) == "done"
            await asyncio.to_thread(glasses.wait_for, "announced", text="tester: The kettle has boiled.", state="told")

    glasses = GlassesRun(room, "--camera", str(tmp_path / "view.avi"), "--no-voice", env=env)
    try:
        asyncio.run(use(glasses))
        told = [event["text"] for event in glasses.events if event["what"] == "note"]
        assert [one for one in told if one.startswith("tester")] == [
            "tester looks through your camera",
            "tester listens for 2 seconds",
            "tester says something",
        ]
    finally:
        assert glasses.stop() == 0
