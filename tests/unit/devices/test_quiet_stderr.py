"""What ALSA and PortAudio write to stderr does not reach a terminal; everything else that is written there does."""

from __future__ import annotations

import ctypes
import os
import pty
import subprocess
import sys

import pytest

PORTAUDIO = "Expression 'alsa_snd_pcm_poll_descriptors( pcm )' failed in 'src/hostapi/alsa/pa_linux_alsa.c', line: 3665"


def at_terminal(program: str) -> str:
    """What a person sees on stderr of `program`."""
    master, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stderr=terminal, start_new_session=True):
        os.close(terminal)
        seen = b""
        try:
            while data := os.read(master, 4096):
                seen += data
        except OSError:  # how Linux says that nobody holds the other end any more
            pass
    os.close(master)
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("end", ["pass", "os.abort()", "raise SystemExit('the last words')"])
def test_without_portaudio_at_a_terminal_removes_its_lines_and_no_others(end: str) -> None:
    written = f"{PORTAUDIO}! no\n{PORTAUDIO}\nGGML_ASSERT\n".encode()
    program = f"""import os, sys
from glasses.devices.quiet_stderr import without_portaudio
with without_portaudio():
    os.write(2, {written!r})
    print('logged', file=sys.stderr)
    {end}
print('after', file=sys.stderr)"""
    last = {"pass": "after\n", "os.abort()": ""}.get(end, "the last words\n")
    assert at_terminal(program) == f"{PORTAUDIO}! no\nGGML_ASSERT\nlogged\n{last}"


def test_without_portaudio_where_no_person_reads_removes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    program = f"""import os
from glasses.devices.quiet_stderr import without_portaudio
with without_portaudio():
    os.write(2, {PORTAUDIO.encode()!r})"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert capfd.readouterr().err == PORTAUDIO


def test_hush_alsa_messages_are_logged_and_not_printed() -> None:
    try:
        ctypes.CDLL("libasound.so.2")
    except OSError:
        pytest.skip("no ALSA on this system")
    opens = (
        "p = ctypes.c_void_p(); ctypes.CDLL('libasound.so.2').snd_pcm_open(ctypes.byref(p), b'no-such-device', 0, 0)"
    )
    loud = subprocess.run([sys.executable, "-c", f"import ctypes\n{opens}"], capture_output=True, text=True, check=True)
    assert "ALSA lib" in loud.stderr, "there is something to keep quiet"
    hush = "import ctypes, logging; from glasses.devices.quiet_stderr import hush_alsa\nassert hush_alsa()"
    command = [sys.executable, "-c", f"{hush}\n{opens}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
    command[-1] = f"{hush}\nlogging.basicConfig(level=logging.DEBUG)\n{opens}"
    logged = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert logged.startswith("DEBUG:glasses.devices.quiet_stderr:ALSA, snd_")


def test_hush_alsa_without_the_library_returns_false(monkeypatch: pytest.MonkeyPatch) -> None:
    from glasses.devices import quiet_stderr  # noqa: PLC0415

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(quiet_stderr.ctypes, "CDLL", absent)
    assert not quiet_stderr.hush_alsa()
