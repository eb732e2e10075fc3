"""A room without a sound card: an unprivileged PulseAudio with a loudspeaker, a room and a microphone in it.

What is played into `room` reaches the microphone `mic`; what a program plays to `speaker` returns to the room at a
chosen level, or not at all. Both are channels of one sink, so a recording of it has room and speaker on one clock.
Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins (`make test-live` installs them).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import numpy as np

from glasses.errors import Reason, SensorError
from glasses.types import SAMPLE_RATE_HZ, Float32Array

_WORLD = "module-null-sink sink_name=world rate=48000 channels=2 channel_map=front-left,front-right"
_START_S = 10.0
_LEAD_MS = 250  # of what is played lies ready in the server: a voice in a room has no underruns
_MODULES = (
    "module-native-protocol-unix socket={folder}/socket auth-anonymous=1",
    _WORLD,
    "module-remap-sink sink_name=room master=world channels=1 channel_map=mono master_channel_map=front-left remix=no",
    "module-remap-sink sink_name=speaker master=world channels=1 channel_map=mono master_channel_map=front-right"
    " remix=no",
    "module-remap-source source_name=mic master=world.monitor channels=1 channel_map=mono"
    " master_channel_map=front-left remix=no",
    "module-remap-source source_name=said master=world.monitor channels=1 channel_map=mono"
    " master_channel_map=front-right remix=no",
)


class Room:
    """Started until `close`. `env` is what a program needs to find the microphone and the speaker as its defaults."""

    def __init__(self, folder: Path, *, echo_db: float | None = None) -> None:
        """`echo_db`: level at which the speaker is heard in the room. Raises SensorError(NOT_INSTALLED, TIMEOUT)."""
        if missing := [name for name in ("pulseaudio", "pactl", "pacat", "parec") if shutil.which(name) is None]:
            raise SensorError(
                Reason.NOT_INSTALLED,
                f"{', '.join(missing)} missing: apt-get install pulseaudio pulseaudio-utils libasound2-plugins",
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (folder / "asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.env = {
            "PULSE_SERVER": f"unix:{folder}/socket",
            "PULSE_SINK": "speaker",
            "PULSE_SOURCE": "mic",
            "ALSA_CONFIG_PATH": str(folder / "asoundrc"),
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self.start()
        if echo_db is not None:
            air = ("source=said", "sink=room", "latency_msec=30", "adjust_time=0")  # which changes no pitch to catch up
            self._pactl("load-module", "module-loopback", *air)
            inputs = self._pactl("list", "short", "sink-inputs").split("\n")
            self._pactl("set-sink-input-volume", inputs[-2 if not inputs[-1] else -1].split()[0], f"{echo_db}dB")

    def start(self) -> None:
        """Starts the sound server (again, after `kill`)."""
        command = [
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--log-level=error",
            "--high-priority=yes",  # where it may: air does not stutter because a machine is busy
        ]
        for module in _MODULES:
            command += ["-L", module.format(folder=self._folder)]
        env = {**os.environ, "XDG_RUNTIME_DIR": str(self._folder), "HOME": str(self._folder)}
        with (self._folder / "pulseaudio.log").open("ab") as log:
            self._server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        until_s = time.monotonic() + _START_S
        while "said" not in self._pactl("list", "short", "sources", check=False):
            if self._server.poll() is not None or time.monotonic() > until_s:
                raise SensorError(Reason.TIMEOUT, f"PulseAudio did not start; see {self._folder}/pulseaudio.log")
            time.sleep(0.05)

    def kill(self) -> None:
        """Pulls the plug: every device of the room vanishes at once."""
        self._server.kill()
        self._server.wait()
        (self._folder / "socket").unlink(missing_ok=True)

    def play(self, pcm: Float32Array) -> subprocess.Popen[bytes]:
        """Plays float32 (N,) at 16 kHz into the room; wait for the process to know when it is over."""
        with tempfile.TemporaryFile() as file:
            file.write(np.clip(np.round(pcm * 32767), -32768, 32767).astype(np.int16).tobytes())
            file.seek(0)
            process = subprocess.Popen(
                ["pacat", "--playback", "--device=room", "--format=s16le", f"--rate={SAMPLE_RATE_HZ}", "--channels=1",
                 "--channel-map=mono", f"--latency-msec={_LEAD_MS}", "--raw"],
                env={**os.environ, **self.env}, stdin=file, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._started.append(process)
        return process

    def tape(self, path: Path) -> subprocess.Popen[bytes]:
        """Records room (left) and speaker (right), int16 at 16 kHz, raw, until the process is terminated."""
        with path.open("wb") as file:
            process = subprocess.Popen(
                ["parec", "--device=world.monitor", "--format=s16le", f"--rate={SAMPLE_RATE_HZ}", "--channels=2",
                 "--channel-map=front-left,front-right", "--latency-msec=20", "--raw"],
                env={**os.environ, **self.env}, stdout=file, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._started.append(process)
        return process

    def _pactl(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["pactl", *words], env={**os.environ, **self.env}, capture_output=True, text=True, check=check, timeout=20
        )
        return done.stdout

    def close(self) -> None:
        """Ends everything that was started."""
        for process in [*self._started, self._server]:
            if process.poll() is None:
                process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
