"""How many of the turns before a bundle's backbone bears, as its TOML says."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.errors import ModelError, Reason
from glasses.model_store.bundles import BUNDLES, read_bundle


def bundle_file(folder: Path, line: str) -> Path:
    path = folder / "pocket.toml"
    path.write_text(f"{line}\n{(BUNDLES / 'pocket.toml').read_text()}")
    return path


def test_bundle_says_how_many_turns_are_known(tmp_path: Path) -> None:
    assert read_bundle(bundle_file(tmp_path, "history_turns = 2"), "pocket").history_turns == 2
    assert read_bundle(bundle_file(tmp_path, ""), "pocket").history_turns is None


@pytest.mark.parametrize("value", ['"two"', "-1", "true", "1.5"])
def test_bundle_number_of_turns_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ModelError, match="history_turns must be a whole number") as raised:
        read_bundle(bundle_file(tmp_path, f"history_turns = {value}"), "pocket")
    assert raised.value.reason is Reason.BAD_INPUT
