"""Installed packages add glasses by the scheme of their addresses."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from glasses.assistant.config import AssistantConfig
from glasses.commands import run
from glasses.devices.local import Hud, LocalDevices
from glasses.devices.registry import opener_of
from glasses.errors import LinkError, Reason

PLUGGED = """
class Plugged:
    def __init__(self, address, local, on_touch):
        self.address, self.closed, self.shown = address, False, []

    def show(self, text):
        self.shown.append(text)

    def close(self):
        self.closed = True
"""

AWAY = """
from firmware_bridge.errors import LinkError, Reason

def connect(address, local, on_touch):
    raise LinkError(Reason.NOT_FOUND, f"{address} is in its case")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution, as pip lays it out, with devices `acme` and, broken, `broken`."""
    (tmp_path / "acme_glasses.py").write_text("def connect(address, local, on_touch):\n    return (address, local)\n")
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    points = "[glasses.devices]\nacme = acme_glasses:connect\nbroken = what_is_not_there:connect\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_opener_of_an_installed_scheme_opens_the_address() -> None:
    opener = opener_of("acme:left")
    assert opener is not None
    local = LocalDevices()
    assert opener("acme:left", local, lambda button: None) == ("acme:left", local)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("address", ["acme", "/dev/ttyACM0", "192.168.4.1:7700", "ble:Glasses"])
def test_opener_of_the_reference_link_is_none(address: str) -> None:
    assert opener_of(address) is None


@pytest.mark.usefixtures("installed")
def test_opener_of_a_package_that_fails_to_load_names_it() -> None:
    with pytest.raises(LinkError, match="devices broken of what_is_not_there:connect cannot be loaded") as error:
        opener_of("broken:x")
    assert error.value.reason is Reason.NOT_INSTALLED


def test_run_says_why_the_devices_of_an_installed_package_do_not_open(installed: Path) -> None:
    (installed / "acme_away.py").write_text(AWAY)
    (installed / "acme-1.0.dist-info" / "entry_points.txt").write_text("[glasses.devices]\nacme = acme_away:connect\n")
    config = replace(AssistantConfig(), link="acme:left")
    with ExitStack() as stack, pytest.raises(LinkError, match="acme:left is in its case") as error:
        run._devices(config, stack, note=print, on_touch=lambda button: None)
    assert error.value.reason is Reason.NOT_FOUND


def test_run_uses_the_devices_of_an_installed_package_and_closes_them(installed: Path) -> None:
    (installed / "acme_plugged.py").write_text(PLUGGED)
    (installed / "acme-1.0.dist-info" / "entry_points.txt").write_text(
        "[glasses.devices]\nacme = acme_plugged:Plugged\n"
    )
    with ExitStack() as stack:
        config = replace(AssistantConfig(), link="acme:left")
        devices = run._devices(config, stack, note=print, on_touch=lambda button: None)
        assert isinstance(devices, Hud)
        assert getattr(devices, "address") == "acme:left"  # noqa: B009  # a class that only the package knows
    assert getattr(devices, "closed")  # noqa: B009
