"""`glasses devices` lists what is there and says what is not, without a traceback."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from pathlib import Path

import pytest

from firmware_bridge import ble
from firmware_bridge.errors import LinkError, Reason
from glasses.__main__ import main
from glasses.commands import devices
from glasses.devices import v4l2
from tests.emulator.firmware import Firmware
from tests.emulator.frame import FramePeripheral
from tests.emulator.g1 import G1Arm
from tests.emulator.omi import OmiPeripheral
from tests.emulator.radio import Air
from tests.hil.wires import ReferencePeripheral


def test_devices_json_has_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert list(out) == ["cameras", "microphones", "speakers", "serial_ports"]
    assert all(isinstance(part["devices"], list) for part in out.values())


def test_devices_absent_portaudio_and_bluetooth_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)  # how sounddevice looks for PortAudio
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/at/all")  # where BlueZ is asked for
    assert main(["devices", "--scan", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "libportaudio2" in out
    assert "no Bluetooth service" in out


def test_devices_scan_time_out_of_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for bad in ("0", "-1", "1e9", "nan"):
        assert main(["devices", f"--scan={bad}"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_glasses_in_reach_are_listed_with_their_abilities() -> None:
    async def scanned() -> devices.Part:
        air = Air()
        await air.start()
        reference = ReferencePeripheral(air, Firmware())
        for peripheral in (
            OmiPeripheral(air),
            FramePeripheral(air),
            G1Arm(air, "L", []),
            G1Arm(air, "R", []),
            reference,
        ):
            await peripheral.start()
        await reference.pump.stop()
        return await devices.glasses_in_reach(0.4, backends=air.backends)

    part = asyncio.run(scanned())
    by_product = {row["product"]: row for row in part.rows}
    assert by_product["Frame"]["can"] == ["battery", "microphone", "photo", "text", "touch"]
    assert len(by_product["Even G1"]["addresses"]) == 2
    assert by_product["reference glasses"]["name"] == "Glasses"
    text = devices._as_text(part)
    note = "(says what it can do once connected: glasses link ble:Glasses)"
    assert f"Glasses  reference glasses  F1:00:00:00:00:77  -60 dBm  {note}" in text
    assert "Frame 4F  Frame  F3:00:00:00:00:01  -60 dBm  can: battery, microphone, photo, text, touch" in text


def test_glasses_in_reach_with_bluetooth_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def off(_: float, **__: object) -> list[ble.Seen]:
        raise LinkError(Reason.NOT_AVAILABLE, "Bluetooth is off")

    monkeypatch.setattr(ble, "scan", off)
    assert asyncio.run(devices.glasses_in_reach(1.0)) == devices.Part("glasses", [], "Bluetooth is off")


def test_v4l2_cameras_unusable_nodes_are_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")  # not a device
    (tmp_path / "video10").symlink_to(tmp_path / "gone")
    found = v4l2.cameras(tmp_path)
    assert [Path(one.path).name for one in found] == ["video0", "video10"]
    assert all(one.problem for one in found)


def test_v4l2_capability_of_this_node_counts() -> None:
    answer = struct.pack("=16s32s32sIII12x", b"uvcvideo", b"HD Webcam", b"usb-1", 0x060000, 0x84A00001, 0x04A00000)
    assert v4l2.parse_capability(answer) == ("HD Webcam", 0x04A00000)  # a metadata node of a camera
    old = struct.pack("=16s32s32sIII12x", b"old", b"Old", b"usb-1", 0x020000, 0x00000001, 0)
    assert v4l2.parse_capability(old) == ("Old", 1)
    assert (v4l2._QUERYCAP, v4l2._ENUM_FMT) == (0x80685600, 0xC0405602)  # as <linux/videodev2.h> computes them
