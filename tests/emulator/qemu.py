"""The firmware image under QEMU's mps2-an385: a process whose UART is a pty that opens as any serial port."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.emulator.firmware import build

_FACTORY_DATA = 0x21E00000  # boards/qemu/memory.h: struct factory
_FACTORY_IMAGE = 0x21800000
_START_S = 20.0


class Qemu:
    """One emulated device, running until `close`. `path` is its serial port."""

    def __init__(self, *, code: str = "", seed: bytes = bytes(range(16))) -> None:
        assert shutil.which("qemu-system-arm"), "qemu-system-arm is missing: make test-emulator installs it"
        folder = build("qemu") / "qemu"
        self._folder = tempfile.TemporaryDirectory()
        factory = Path(self._folder.name, "factory.bin")
        factory.write_bytes(seed + code.encode().ljust(28, b"\0"))
        self._monitor_path = Path(self._folder.name, "monitor")
        command = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "pty"]
        command += ["-qmp", f"unix:{self._monitor_path},server=on,wait=off", "-kernel", str(folder / "boot.elf")]
        for path, address in ((folder / "firmware.img", _FACTORY_IMAGE), (factory, _FACTORY_DATA)):
            command += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.path = self._pty()

    def _pty(self) -> str:
        assert self.process.stdout is not None
        said = ""
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and (line := self.process.stdout.readline()):
            said += line
            if match := re.search(r"redirected to (/dev/pts/\d+)", line):
                return match[1]
        self.close()
        raise AssertionError(f"QEMU gave no serial port: {said}")

    def reset(self) -> None:
        """Pulls the reset line, at whatever the firmware is doing: as a power cut that leaves flash as it is."""
        self._ask("system_reset")

    def _ask(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(_START_S)
            monitor.connect(str(self._monitor_path))
            with monitor.makefile("rw") as stream:
                stream.readline()  # its greeting
                for execute in ("qmp_capabilities", command):
                    stream.write(json.dumps({"execute": execute}) + "\n")
                    stream.flush()
                    while "return" not in json.loads(stream.readline()):
                        pass  # events

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._folder.cleanup()
