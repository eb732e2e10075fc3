"""The command line as a whole."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glasses.__main__ import COMMANDS, main
from glasses.commands import Terminated, last_resort

ROOT = Path(__file__).parents[3]
HEAVY = ("numpy", "onnxruntime", "llama_cpp", "cv2", "rich", "soundfile", "psutil", "asyncio")
_LOADED = """
import sys
from glasses.__main__ import main
try:
    main({argv!r})
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def raising(error: BaseException) -> Any:
    def import_module(_name: str) -> Any:
        raise error

    return import_module


def test_main_interrupted_while_a_command_is_imported_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib, "import_module", raising(KeyboardInterrupt()))
    assert main(["run"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("Could not\nbe"), "a fault of this program, not of yours: RuntimeError: Could not be;"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied ("),
        (OSError(28, "No space left on device"), "the disk is full, or what output was sent to takes no more"),
        (ImportError("libx.so.1: no such file"), "a package cannot be loaded: libx.so.1: no such file;"),
        (MemoryError(), "there is not enough memory; close other programs"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"), "text that cannot be read or written:"),
    ],
)
def test_main_error_that_is_not_ours_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    monkeypatch.setattr(importlib, "import_module", raising(error))
    assert main(["ask"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"glasses ask: {says}")


def test_main_error_that_is_not_ours_is_a_crash_for_the_boot_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardware/trial.sh goes back to the version before at a crash, but not at an error that was explained (2)."""
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setattr(importlib, "import_module", raising(ImportError("an update that lacks a package")))
    assert main(["run"]) == 70


def test_main_verbose_shows_the_traceback_of_an_error_that_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib, "import_module", raising(RuntimeError("odd")))
    assert main(["--verbose", "ask"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last)")
    assert said.splitlines()[-1].startswith("glasses ask: a fault of this program")


def test_last_resort_cuts_what_a_library_says() -> None:
    assert len(last_resort.explained(ValueError("x" * 10_000), verbose=False)) < 1000


def test_terminated_is_an_interrupt() -> None:
    """So that what tidies up at Ctrl-C does at SIGTERM."""
    assert issubclass(Terminated, KeyboardInterrupt)


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_main_help_and_version_import_no_command(argv: list[str]) -> None:
    began = time.monotonic()
    program = _LOADED.format(argv=argv)
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    took_s = time.monotonic() - began
    loaded = ran.stderr.split()
    assert [name for name in loaded if name.startswith("glasses.") and name != "glasses.__main__"] == [
        "glasses.errors",
        "glasses.commands",
    ]
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], cwd=ROOT, check=True)
    print(f"{' '.join(argv)}: {took_s / (time.monotonic() - began):.1f} times `python -c pass`")


def test_main_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name}" not in shown] == []
    assert [line for _, line in COMMANDS.values() if line.split(" and ")[0][:20] not in shown] == []


def test_main_json_on_a_terminal_with_ascii_only_stays_json() -> None:
    program = (
        "import json, sys; from glasses.commands import guarded; "
        "sys.exit(guarded('x', lambda: lambda: print(json.dumps('é €', ensure_ascii=False)) or 0, "
        "own_process=True, verbose=False))"
    )
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == '"\\u00e9 \\u20ac"\n'
