"""A process that is killed while muted is muted when it is started again, and says so."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.models
ROOT = Path(__file__).parents[2]
# Glasses with a microphone that says in a file that it was opened, and no speaker.
SILENT = """
import pathlib

class Microphone:
    overruns, gone = 0, False

    def __init__(self):
        from glasses.devices.portaudio import SoundDevice
        self.device = SoundDevice(0, "silent", 16000)

    def close(self):
        pass

class Silent:
    muted = sees = False

    def __init__(self, address, local, on_touch):
        self.opened = pathlib.Path(address.partition(":")[2])

    def microphone(self, queue):
        self.opened.touch()
        return Microphone()

    def rescan(self):
        pass

    def close(self):
        pass
"""


class Running:
    """`glasses run` as a process, with a terminal for its keys."""

    def __init__(self, process: subprocess.Popen[str], keys: int) -> None:
        self.process, self._keys, self.seen = process, keys, list[dict[str, object]]()

    def wait_for(self, **wanted: object) -> None:
        """Reads on until a line holds all of `wanted`, or has been read already."""
        while not any(wanted.items() <= one.items() for one in self.seen):
            assert self.process.stdout
            line = self.process.stdout.readline()
            assert line, f"it ended before it said {wanted}; it said {self.seen}"
            self.seen.append(json.loads(line))

    def press(self, key: str) -> None:
        os.write(self._keys, f"{key}\n".encode())


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    terminal, keys = pty.openpty()[::-1]
    command = [sys.executable, "-m", "glasses", "run", "--json", "--no-voice", "--link", f"silent:{folder / 'opened'}"]
    environment = os.environ | {
        "PYTHONPATH": f"{folder}:{ROOT}",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    with subprocess.Popen(
        command, env=environment, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        os.close(terminal)
        try:
            one = Running(process, keys)
            one.wait_for(what="ready")
            yield one
        finally:
            process.send_signal(signal.SIGKILL)
            os.close(keys)


def test_run_killed_while_muted_starts_muted_until_it_is_unmuted(tmp_path: Path) -> None:
    (tmp_path / "silent_glasses.py").write_text(SILENT)
    info = tmp_path / "silent-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: silent\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[glasses.devices]\nsilent = silent_glasses:Silent\n")
    opened = tmp_path / "opened"
    with running(tmp_path) as first:
        assert opened.exists()
        first.press("m")
        first.wait_for(what="devices", state="muted")
    opened.unlink()
    with running(tmp_path) as second:
        second.wait_for(what="devices", state="muted")
        assert any("still muted" in str(one.get("text")) for one in second.seen), second.seen
        assert not opened.exists(), "the microphone was opened though it was muted"
        second.press("m")
        second.wait_for(what="devices", state="unmuted")
        assert opened.exists()
    opened.unlink()
    with running(tmp_path):
        assert opened.exists()
