"""Installs the boot service and runs it under a real systemd, which is process 1 of its own namespaces.

The root is read-only; only the folders of the test can be written. Needs root, systemd and PulseAudio.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from glasses.evaluation.bench.virtual_room import Room
from glasses.model_store import store

BOOT = Path(__file__).with_name("boot.sh")
INSTALL = Path(__file__).parents[2] / "hardware/install.sh"
PATIENCE_S = 90.0
# This machine's Python and packages stand in for the environment that install.sh makes of PyPI's.
PROGRAM = """#!/bin/sh
cd /opt/glasses
PYTHONPATH=/opt/glasses:/opt/site exec /opt/python/bin/python3 -m glasses "$@"
"""
IN_THE_ROOM = """[Service]
Environment=PULSE_SERVER=unix:/run/room/socket PULSE_SINK=speaker PULSE_SOURCE=mic ALSA_CONFIG_PATH=/run/room/asoundrc
StandardOutput=append:/run/room/out
StandardError=append:/run/room/err
"""


class BootedService:
    """The boot service of this checkout, installed into `folder`. `boot` starts systemd; leaving the block ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.room = folder, Room(folder / "room")
        for path in (folder / "room", folder / "room/socket"):
            path.chmod(0o777)  # for the user glasses
        self._process: subprocess.Popen[bytes] | None = None
        self.install()

    def install(self) -> Path:
        """Runs install.sh, as for a first installation or an update. Returns the folder of the program."""
        root, opt = self._folder / "image", self._folder / "opt"
        subprocess.run([INSTALL, "--root", root, "--board", "desktop"], check=True, capture_output=True, timeout=60)
        program = root / "opt/glasses/.venv/bin/glasses"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)
        drop_in = root / "etc/systemd/system/glasses.service.d/room.conf"
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text(IN_THE_ROOM)
        if not opt.exists():
            opt.symlink_to(root / "opt", target_is_directory=True)
        for name in ("python", "site"):
            (opt / name).mkdir(exist_ok=True)
        return root / "opt/glasses"

    def boot(self, options: str) -> None:
        """Starts systemd. `options`: of `glasses run`."""
        (self._folder / "image/etc/glasses/environment").write_text(f"GLASSES_OPTIONS={options}\n")
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--cgroup", "--uts", "--ipc"]
        packages = sysconfig.get_paths()["purelib"]
        given = [str(self._folder), str(store.cache_dir()), sys.base_prefix, packages]
        with (self._folder / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*apart, "sh", str(BOOT), *given], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def events(self) -> list[dict[str, Any]]:
        """The JSON lines that the service has printed."""
        out = self._folder / "room/out"
        lines = out.read_text().split("\n")[:-1] if out.exists() else []
        return [json.loads(line) for line in lines]

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        """Waits until `true` returns something true, and returns it. Fails the test after PATIENCE_S."""
        end_s = time.monotonic() + PATIENCE_S
        while not (found := true()):
            assert self._process is not None
            assert self._process.poll() is None, f"systemd ended: {self.recent_output()}"
            assert time.monotonic() < end_s, f"no {what}: {self.recent_output()}"
            time.sleep(0.05)
        return found

    def show(self, *names: str) -> dict[str, str]:
        """Properties of the service, as systemctl shows them."""
        shown = self.inside("systemctl", "show", "glasses", "--property", ",".join(names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def inside(self, *command: str) -> str:
        """Runs a command in the namespaces of the service and returns its output."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        apart = ["nsenter", "--target", children[0], "--mount", "--pid", "--cgroup", "--uts", "--ipc"]
        return subprocess.run([*apart, *command], capture_output=True, text=True, timeout=60, check=False).stdout

    def recent_output(self) -> str:
        """The last output of systemd and of the service, for a failure message."""
        texts = [path.read_text(errors="replace")[-1500:] for path in self._files() if path.exists()]
        return "\n".join([*texts, self.inside("systemctl", "status", "glasses", "--no-pager")])

    def _files(self) -> tuple[Path, ...]:
        return self._folder / "boot.log", self._folder / "room/err", self._folder / "room/out"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # and with it all that runs in its namespaces
            self._process.wait()
        self.room.close()


def why_unavailable() -> str:
    """Why this machine cannot boot the service; empty where it can."""
    missing = [name for name in ("unshare", "nsenter", "systemd-sysusers", "pulseaudio") if shutil.which(name) is None]
    if os.getuid() != 0 or missing or not Path("/lib/systemd/systemd").exists():
        return f"root and systemd are needed; missing: {', '.join(missing) or 'root or systemd'}"
    mounts = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /mnt"
    command = ["unshare", "--pid", "--fork", "--mount", "--cgroup", "sh", "-c", mounts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no cgroups of its own: {done.stderr.strip()}"
