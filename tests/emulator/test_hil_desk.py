"""The tests of tests/hil as a person runs them on a device on a desk: a second process, a serial port, a kept key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firmware_bridge.image import build_image, read_key
from firmware_bridge.security import key_of
from firmware_bridge.session import now_us
from glasses.commands import link_keys
from tests.emulator.firmware import FIRMWARE, build
from tests.emulator.stand_in import StandIn

ROOT = Path(__file__).parents[2]


def hil(address: str, config: Path, *words: str) -> str:
    """The output of `pytest tests/hil` for the device, passed or not."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/hil", f"--hil=serial:{address}", *words]
    environment = os.environ | {"XDG_CONFIG_HOME": str(config)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def keep_key(device: StandIn, config: Path) -> None:
    """Keeps the key of the device, as `glasses link pair ADDRESS` does."""
    link_keys.keep(link_keys.path_of(config / "glasses" / "links", device.address), key_of(str(device.code)))


def factory_image() -> bytes:
    build()
    return build_image(b"as from the factory" * 100, read_key(FIRMWARE / "build" / "development.key"))


@pytest.mark.slow
def test_hil_sealed_and_open_device_pass_all_that_a_desk_allows(tmp_path: Path) -> None:
    image = tmp_path / "firmware.img"
    image.write_bytes(factory_image())
    with StandIn("pty") as sealed, StandIn("pty", code=None) as opened, ThreadPoolExecutor() as both:
        sealed.between_steps(lambda: sealed.firmware.flash(0, image.read_bytes()))
        sealed.between_steps(lambda: sealed.firmware.power_cycle(now_us()))
        keep_key(sealed, tmp_path)
        with_image = both.submit(hil, sealed.address, tmp_path, f"--hil-image={image}")
        without = both.submit(hil, opened.address, tmp_path).result()
        assert re.search(r"\b18 passed, 2 skipped", with_image.result()), with_image.result()
        assert opened.between_steps(lambda: opened.firmware.boot(now_us())) == 255  # still no image in either slot
    assert re.search(r"\b15 passed, 5 skipped", without), without
    assert "no update without --hil-image" in without


def test_hil_key_not_kept_fails_and_a_named_key_passes(tmp_path: Path) -> None:
    with StandIn("pty") as device:
        words = ["-k", "says_what_it_is"]
        said = hil(device.address, tmp_path, *words)
        assert "1 failed" in said, said
        assert "glasses link pair ADDRESS" in said
        key = tmp_path / "named.key"
        link_keys.keep(key, key_of(str(device.code)))
        assert "1 passed" in hil(device.address, tmp_path, *words, f"--hil-key={key}")


def test_hil_image_that_does_not_run_there_is_not_uploaded(tmp_path: Path) -> None:
    image = tmp_path / "another.img"
    with StandIn("pty") as device:
        image.write_bytes(factory_image())
        other = build_image(b"what it runs" * 100, read_key(FIRMWARE / "build" / "development.key"))
        device.between_steps(lambda: device.firmware.flash(0, other))
        device.between_steps(lambda: device.firmware.power_cycle(now_us()))
        keep_key(device, tmp_path)
        said = hil(device.address, tmp_path, "-k", "confirmed_stays", f"--hil-image={image}")
    assert "1 failed" in said, said
    assert "nothing uploaded" in said
