"""The boot service as systemd's own tools see it, installed into an image; and a stage that hangs, by SIGSTOP."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from glasses.system.board import board_names

pytestmark = pytest.mark.system
HARDWARE = Path(__file__).parents[2] / "hardware"
MOST_EXPOSED = 2.2  # systemd-analyze's 0 (shut) to 10 (open); sound, camera and radio need some of it


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with this system's own units, into which the service was installed."""
    root = tmp_path_factory.mktemp("image")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    run(HARDWARE / "install.sh", "--root", root, "--board", "pi5")
    program = root / "opt/glasses/.venv/bin/glasses"  # an image gets its environment on its first boot
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return root


def test_unit_verified_by_systemd_gives_no_complaint(image: Path) -> None:
    assert run("systemd-analyze", "verify", f"--root={image}", "/etc/systemd/system/glasses.service") == ""


def test_unit_exposure_level_is_within_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", HARDWARE / "glasses.service")
    score = re.search(r"exposure level for glasses.service: ([\d.]+)", told)
    assert score
    with capsys.disabled():
        print(f"\nsystemd-analyze security: {score[1]}")
    assert float(score[1]) <= MOST_EXPOSED


def test_install_twice_and_uninstall_keep_what_a_person_wrote(image: Path) -> None:
    config, options = image / "etc/glasses.toml", image / "etc/glasses/environment"
    assert 'board = "pi5"' in config.read_text()
    config.write_text('board = "zero2w"\n')
    options.write_text("GLASSES_OPTIONS=--no-voice\n")
    run(HARDWARE / "install.sh", "--root", image)
    assert config.read_text() == 'board = "zero2w"\n'
    assert "--no-voice" in options.read_text()
    assert (image / "opt/glasses/hardware/boards/pi5.toml").is_file()
    assert (image / "opt/glasses.old").is_dir(), "the program before is kept for going back"
    assert not list(image.glob("opt/glasses*/**/__pycache__"))
    assert not (image / "opt/glasses.new").exists()
    assert (image / "etc/systemd/system/multi-user.target.wants/glasses.service").is_symlink()
    (image / "var/lib/glasses/recordings").mkdir()
    copy = image.with_name("uninstalled")
    shutil.copytree(image, copy, symlinks=True)
    run(copy / "opt/glasses/hardware/install.sh", "--uninstall", "--root", copy)
    assert not list(copy.glob("etc/systemd/system/glasses*"))
    assert not (copy / "opt/glasses").exists()
    assert (copy / "var/lib/glasses/recordings").is_dir()
    assert options.exists()
    assert config.exists()


def test_unit_user_exists_after_boot(image: Path) -> None:
    (image / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (image / "etc/group").write_text("root:x:0:\naudio:x:29:\nvideo:x:44:\n")
    run("systemd-sysusers", f"--root={image}", image / "etc/sysusers.d/glasses.conf")
    assert "glasses:" in (image / "etc/passwd").read_text()
    groups = {line.split(":")[0]: line.split(":")[3] for line in (image / "etc/group").read_text().splitlines()}
    unit = (HARDWARE / "glasses.service").read_text()
    wanted = re.findall(r"^SupplementaryGroups=(.*)$", unit, re.MULTILINE)[0].split()
    assert wanted
    for group in wanted:  # systemd starts nothing with a group that does not exist
        assert "glasses" in groups[group], group


def test_install_unknown_boards_and_options_are_refused(image: Path) -> None:
    """The message lists what there is."""
    for options, says in ((["--board", "pi99"], "zero2w.toml"), (["--frobnicate"], "usage")):
        command = [HARDWARE / "install.sh", "--root", image, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert says in done.stderr
    for board in board_names():
        assert (HARDWARE / "boards" / f"{board}.toml").is_file()


def test_shell_scripts_of_hardware_pass_shellcheck() -> None:
    run("shellcheck", *sorted(HARDWARE.glob("*.sh")))


def _take(manager: socket.socket, n: int) -> None:
    for _ in range(n):
        manager.recv(4096)


def test_watchdog_of_a_stopped_process_starves(tmp_path: Path) -> None:
    """A process that goes on feeds it."""
    child = """
        import threading, time
        from glasses.system.watchdog import Notifier, Watchdog
        watchdog = Watchdog(Notifier.from_environment(), {"listen": (1.0, 1.0)})
        watchdog.ready("listening")
        while True:
            watchdog.progress("listen")
            time.sleep(0.02)
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(child)], env=environment)
        try:
            assert manager.recv(4096).decode().startswith("READY=1\nSTATUS=listening")
            assert manager.recv(4096) == b"WATCHDOG=1"
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            manager.settimeout(1.5)  # more than twice the time systemd would give
            with pytest.raises(TimeoutError):
                _take(manager, 50)  # what was sent before it stopped; then nothing comes
            manager.settimeout(60)
            process.send_signal(signal.SIGCONT)
            assert manager.recv(4096) == b"WATCHDOG=1"
        finally:
            process.kill()
            process.wait()
