"""`glasses link` as a person uses it, with the firmware behind a pty, a TCP port and the emulated radio."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge import transport
from firmware_bridge.image import build_image, read_key
from firmware_bridge.session import now_us
from firmware_bridge.transport import Transport
from glasses.__main__ import main
from glasses.commands import link, link_keys
from glasses.errors import InputError, Reason
from tests.emulator.firmware import FIRMWARE, Firmware
from tests.emulator.radio import Air
from tests.emulator.stand_in import StandIn
from tests.emulator.terminal import Terminal
from tests.hil.wires import CODE, ReferencePeripheral

OTHER_CODE = "WXYZ-WXYZ-WXYZ-WXYZ-WXYZ"


@pytest.fixture(params=["pty", "tcp"])
def glasses(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """A device with a pairing code behind each kind of wire that needs no radio."""
    with StandIn(request.param) as device:
        yield device


@pytest.fixture
def plugged() -> Iterator[StandIn]:
    """A device behind a pty."""
    with StandIn("pty") as device:
        yield device


def typed(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(line + "\n"))


def hud_line(glasses: StandIn, y: int) -> str:
    """The text that stands at (4, y) of the framebuffer, read with the firmware's own font."""
    header = (FIRMWARE / "build" / "generated" / "font.h").read_text()
    rows = re.findall(r"\{((?:0x[0-9a-f]{2}(?:, )?){11})\}", header)
    signs = {bytes(int(bits, 16) for bits in row.split(", ")): chr(32 + i) for i, row in enumerate(rows)}
    hud = np.frombuffer(glasses.between_steps(glasses.firmware.hud), np.uint8).reshape(128, 256)
    cells = [np.packbits(hud[y : y + 11, x : x + 6] > 0, axis=1)[:, 0].tobytes() for x in range(4, 244, 6)]
    return "".join(signs[cell] for cell in cells).rstrip()


def paired(glasses: StandIn, keys: Path, code: str | None = None) -> list[str]:
    """Keeps the key and returns the arguments after the verb: the address and the key folder."""
    link_keys.keep(link_keys.path_of(keys, glasses.address), link.security.key_of(code or str(glasses.code)))
    return [glasses.address, "--key-dir", str(keys)]


def test_link_pair_code_on_the_hud_is_accepted_and_its_key_kept(
    glasses: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [glasses.address, "--key-dir", str(tmp_path)]
    assert main(["link", "show", *words]) == 2
    assert "glasses link pair ADDRESS" in capsys.readouterr().err
    assert hud_line(glasses, 4) == "Pairing code"
    typed(monkeypatch, hud_line(glasses, 20).lower().replace("-", " "))
    assert main(["link", "pair", *words]) == 0
    out, err = capsys.readouterr()
    assert "paired" in err
    assert re.search(r"device +host\nfirmware +0\.1\.0\nslot +0\n", out)
    assert hud_line(glasses, 20) == ""  # whoever has paired has read it
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert main(["link", "show", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["battery_percent"] == 87
    assert said["link"]["state"] == "up"
    assert said["link"]["damaged"] == said["link"]["forged"] == 0


def test_link_pair_wrong_code_is_refused_and_keeps_the_old_key(
    plugged: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = paired(plugged, tmp_path)
    for code, said in (("1234", "a pairing code has 20"), ("", "a pairing code has 20"), (OTHER_CODE, "wrong pairing")):
        typed(monkeypatch, code)
        assert main(["link", "pair", *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["link", "show", *words]) == 0  # with the key that was kept before
    assert len(list(tmp_path.iterdir())) == 1


def test_link_show_other_device_at_the_address_is_refused(
    plugged: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link", "show", *paired(plugged, tmp_path, OTHER_CODE)]) == 2
    assert "does not answer to this key" in capsys.readouterr().err
    with StandIn("tcp", code=None) as stranger:
        assert main(["link", "show", *paired(stranger, tmp_path, OTHER_CODE)]) == 2
        assert "not this device" in capsys.readouterr().err
        assert main(["link", "show", stranger.address, "--key-dir", str(tmp_path / "none")]) == 0


def test_link_show_damaged_key_file_says_to_pair_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"\xff\xfe", b"abcd", b"0" * 5000):
        (tmp_path / "dev_nothing.key").write_bytes(content)
        assert main(["link", "show", "/dev/nothing", "--key-dir", str(tmp_path)]) == 2
        assert "pair again" in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as refused:
        link_keys.keep(tmp_path / "file" / "x.key", bytes(32))
    assert refused.value.reason is Reason.BAD_INPUT


@pytest.mark.parametrize("address", ["nowhere", "host:0", "host:65536", "ble:", "dev/ttyACM0", ""])
def test_link_invalid_address_fails_at_once(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "show", address]) == 2
    assert "no address of a link" in capsys.readouterr().err
    assert main(["link", "monitor", "/dev/x", "--seconds", "nan"]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pear", "/dev/x"], "none of show, pair, monitor, update"),
        (["pair"], "needs the ADDRESS"),
        (["update", "/dev/x"], "update with an IMAGE"),
        (["pair", "/dev/x", "image"], "an IMAGE goes with update"),
        (["/dev/nothing@1"], "`glasses link show ADDRESS`"),
    ],
)
def test_link_with_wrong_words_says_what_to_type(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link", *words]) == 2
    assert says in capsys.readouterr().err


def test_link_monitor_unplugged_and_back_prints_json_lines(glasses: StandIn, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "glasses", "link", "monitor", *paired(glasses, tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = (json.loads(line) for line in process.stdout)
            next_event(lines, "counters", state="up")
            glasses.unplug()
            down = next_event(lines, "down")
            assert down["why"] == "transport"
            assert down["detail"]
            next_event(lines, "counters", state="waiting")
            glasses.plug_in()
            assert next_event(lines, "up")["messages_lost"] == 0  # the device went on: nothing promised is void
            again = next_event(lines, "counters", state="up")
            assert again["sessions"] == 2
            process.send_signal(signal.SIGINT)
            for _ in lines:
                pass  # whole to the last
            assert process.wait(60) == 130
        finally:
            process.kill()


def next_event(lines: Iterator[dict[str, Any]], event: str, **fields: object) -> dict[str, Any]:
    """The next line of this kind with these fields."""
    for line in lines:
        if line["event"] == event and fields.items() <= line.items():
            return line
    raise AssertionError(f"no {event} {fields}")


def test_link_by_its_old_options_pairs_and_monitors_until_ctrl_c(plugged: StandIn, tmp_path: Path) -> None:
    """In one command, as in version 0.1: the old options work together and say what to type."""
    with Terminal("link", plugged.address, "--keys", str(tmp_path), "--pair", "--monitor") as terminal:
        terminal.expect("--key-dir")
        terminal.expect("glasses link pair ADDRESS")
        terminal.expect("the code that the glasses show: ")
        terminal.type(f"{plugged.code}\r")
        terminal.expect(r"state +│ up ")
        terminal.expect(r"ping_ms +│ [\d.]+ ")
        assert str(plugged.code) not in terminal.said
        plugged.unplug()
        terminal.expect(r"\d\d:\d\d:\d\d link down \(transport\): .*; trying again")
        terminal.expect(r"state +│ waiting")
        plugged.plug_in()
        terminal.expect(r"\d\d:\d\d:\d\d link up")
        terminal.expect(r"sessions +│ 2")
        terminal.type("\x03")
        assert terminal.finish() == 130
        assert terminal.restored
        assert "Traceback" not in terminal.said


def test_link_pair_ctrl_c_at_the_prompt_restores_the_terminal(plugged: StandIn, tmp_path: Path) -> None:
    with Terminal("link", "pair", plugged.address, "--key-dir", str(tmp_path)) as terminal:
        terminal.expect("the code that the glasses show: ")
        terminal.type("ABCD\x03")
        assert terminal.finish() == 130
        assert terminal.restored
        assert not list(tmp_path.iterdir())


def image(body: bytes, *, seed: bytes | None = None) -> bytes:
    """A firmware image for the board "host", which does not run it: any bytes will do."""
    return build_image(body, seed or read_key(FIRMWARE / "build" / "development.key"), (0, 2, 0))


def test_link_update_in_a_terminal_shows_progress(
    plugged: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = paired(plugged, tmp_path / "keys")
    (tmp_path / "new.img").write_bytes(image(b"the next one" * 4000))
    with Terminal("link", "update", words[0], str(tmp_path / "new.img"), *words[1:]) as terminal:
        terminal.expect(r"upload .*100%")
        terminal.expect("restarting into it, on trial")
        terminal.expect(r"link down \(silent\)")
        terminal.expect("link up: the device has restarted")
        terminal.expect(r"updated: 0\.2\.0 in slot 1")
        assert terminal.finish() == 0
        assert terminal.restored
    assert main(["link", "show", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["slot"], said["confirmed"]) == (1, True)
    plugged.between_steps(lambda: plugged.firmware.power_cycle(now_us()))
    assert plugged.firmware.slot == 1


def test_link_update_invalid_firmware_is_refused_and_changes_nothing(
    plugged: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factory = image(b"as from the factory" * 100)
    plugged.between_steps(lambda: (plugged.firmware.flash(0, factory), plugged.firmware.boot(now_us())))
    words, path = paired(plugged, tmp_path / "keys"), tmp_path / "wrong.img"
    good = image(b"the next one" * 2000)
    wrong = {
        "its first bytes are not": np.random.default_rng(1).bytes(5000),
        "no firmware image": b"",
        "its hash does not fit": good[:-200],
        "not signed with this device's key": image(b"from a stranger" * 200, seed=bytes(32)),
        "damaged, or not signed": good[:-1] + bytes((good[-1] ^ 1,)),  # in the signature: the host cannot tell
    }
    for said, content in wrong.items():
        path.write_bytes(content)
        assert main(["link", "update", words[0], str(path), *words[1:]]) == 2
        assert said in capsys.readouterr().err
    assert main(["link", "update", words[0], str(tmp_path / "absent.img"), *words[1:]]) == 2
    assert main(["link", "show", *words, "--json"]) == 0
    now = json.loads(capsys.readouterr().out)
    assert (now["slot"], now["confirmed"]) == (0, True)
    plugged.between_steps(lambda: plugged.firmware.power_cycle(now_us()))
    assert plugged.firmware.slot == 0


def test_link_over_the_radio_pairs_and_monitors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = Firmware(code=CODE, now_us=now_us())
    peripherals: list[ReferencePeripheral] = []

    async def opened(address: str) -> Transport:  # the radio lives in the command's own event loop
        if not peripherals:
            air = Air()
            await air.start()
            peripherals.append(ReferencePeripheral(air, firmware))
            await peripherals[0].start()
        return await transport.open_transport(address, backends=peripherals[0].air.backends)

    monkeypatch.setattr(link, "open_transport", opened)
    typed(monkeypatch, CODE)
    assert main(["link", "pair", "ble:Glasses", "--key-dir", str(tmp_path)]) == 0
    peripherals.clear()
    assert main(["link", "monitor", "ble:Glasses", "--key-dir", str(tmp_path), "--json", "--seconds", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {line["state"] for line in lines} == {"up"}
    assert lines[-1]["bytes_in"] > lines[0]["bytes_in"]
