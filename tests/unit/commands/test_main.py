"""The command line as a whole."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from glasses.__main__ import main


def test_main_interrupted_while_a_command_is_imported_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["run"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
