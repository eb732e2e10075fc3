"""What `glasses check` finds, on this machine and on copies of /sys as boards have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glasses.__main__ import main
from glasses.commands import check_list
from glasses.commands.check_list import CheckContext, check, service_finding
from glasses.model_store import store
from glasses.system.board import load_board
from glasses.system.board_sensors import read_board


def sys_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(place: CheckContext) -> dict[str, check_list.CheckResult]:
    return {finding.name: finding for finding in check(place)}


def place(tmp_path: Path, **changed: object) -> CheckContext:
    return CheckContext(
        **{"bundle": "pocket", "board": load_board(), "recordings": tmp_path, "root": tmp_path, **changed}
    )  # pyright: ignore[reportArgumentType]


def test_check_hot_board_with_bad_supply_and_battery_is_reported(tmp_path: Path) -> None:
    sys_tree(
        tmp_path,
        {
            "sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "sys/class/thermal/thermal_zone0/temp": "48000\n",
            "sys/class/thermal/thermal_zone1/temp": "81500\n",
            "sys/class/hwmon/hwmon2/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "1\n",
            "sys/class/power_supply/bq/type": "Battery\n",
            "sys/class/power_supply/bq/capacity": "12\n",
            "sys/class/power_supply/bq/status": "Discharging\n",
            "sys/class/video4linux/video0/name": "imx708\n",
            "dev/video0": "",
        },
    )
    findings = found(place(tmp_path))
    assert (findings["heat"].state, findings["heat"].found) == ("warn", "82 deg C")
    assert (findings["power"].state, findings["power"].found) == ("fail", "under-voltage")
    assert (findings["camera"].state, findings["camera"].found) == ("ok", "imx708")
    assert "Raspberry Pi 5" in findings["system"].found
    reading = read_board(7, tmp_path)
    assert (reading.t_ns, reading.heat_c, reading.battery_percent, reading.charging) == (7, 81.5, 12.0, False)
    assert reading.free_mb is not None
    assert reading.free_mb > 0
    (tmp_path / "sys/class/hwmon/hwmon2/in0_lcrit_alarm").write_text("0\n")
    assert found(place(tmp_path))["power"] == check_list.CheckResult(
        "power", "warn", "battery at 12 %", "load is being shed; charge it"
    )


def test_check_sensors_absent_are_fine_and_unreadable_ones_are_no_zero(tmp_path: Path) -> None:
    sys_tree(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "not a number"})
    findings = found(place(tmp_path))
    assert findings["heat"].state == findings["power"].state == "ok"
    assert findings["camera"].state == "warn"
    assert read_board(0, tmp_path).heat_c is None


def test_check_missing_models_are_named_with_the_pull_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSES_MODELS", str(tmp_path))
    finding = found(place(tmp_path))["models"]
    backbone = store.load_bundle("pocket").backbone
    assert finding.state == "fail"
    assert backbone in finding.found
    assert finding.advice.startswith("run: glasses models pull ")
    assert backbone in finding.advice


def test_check_every_finding_that_is_not_ok_has_advice(tmp_path: Path) -> None:
    for finding in check(place(tmp_path)):
        assert finding.found
        assert finding.state == "ok" or finding.advice


@pytest.mark.parametrize(
    ("shown", "state", "says"),
    [
        ({"LoadState": "not-found"}, "ok", "not installed"),
        ({"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "0"}, "ok", "running"),
        (
            {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "3"},
            "warn",
            "3 restart",
        ),
        ({"LoadState": "loaded", "ActiveState": "failed", "Result": "watchdog", "NRestarts": "9"}, "fail", "watchdog"),
    ],
)
def test_service_finding_of_each_state_says_what_it_is(shown: dict[str, str], state: str, says: str) -> None:
    finding = service_finding(shown)
    assert finding.state == state
    assert says in finding.found


def test_check_command_prints_json_or_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["check", "--json", "--recordings", str(tmp_path)])
    findings = json.loads(capsys.readouterr().out)
    assert code == any(finding["state"] == "fail" for finding in findings)
    assert [finding["name"] for finding in findings][:2] == ["system", "models"]
    assert main(["check", "--recordings", str(tmp_path / "not" / "there")]) == code
    out = capsys.readouterr().out
    assert all(finding["name"] in out for finding in findings)
