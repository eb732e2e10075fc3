"""Commands that answer as well without a voice."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.commands.optional_voice import open_voice_or_none


def test_open_voice_or_none_without_a_voice_says_that_answers_are_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSES_MODELS", str(tmp_path))
    assert open_voice_or_none("pocket") is None
    assert capsys.readouterr().err.count("text only") == 1
