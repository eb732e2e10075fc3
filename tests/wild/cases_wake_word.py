"""Training a wake word is refused before its minutes, not after them: kind 6."""

from __future__ import annotations

import os
from pathlib import Path

from tests.wild.case import Case
from tests.wild.world import command


def _train(folder: Path, *options: str, cache: Path | None = None) -> str:
    environment = {"GLASSES_MODELS": str(cache)} if cache else {}
    return command("glasses", "wake-word", "train", "hey glasses", *options, folder=folder, timeout_s=30, **environment)


def _cache_is_a_file(folder: Path) -> str:
    """A cache in which no folder can be made, as on a read-only disk; root could write in any other."""
    from glasses.model_store.user_bundles import cache_dir  # noqa: PLC0415

    cache = folder / "cache"
    cache.mkdir()
    for one in cache_dir().iterdir():
        if one.name != "taught":
            os.symlink(one, cache / one.name)
    (cache / "taught").write_text("")
    return _train(folder, cache=cache)


def _empty(folder: Path, option: str) -> str:
    (folder / "me").mkdir()
    (folder / "me" / "notes.txt").write_text("no sound")
    return _train(folder, option, "me")


CASES = [
    Case(6, "wake-word train where nothing can be kept", r"^rc 2\n[^\n]*the model cache[^\n]*\n$", _cache_is_a_file,
         is_listed=True),
    Case(6, "wake-word train with recordings that are none", r"^rc 2\n[^\n]*--recordings me: no sound files[^\n]*\n$",
         lambda folder: _empty(folder, "--recordings")),
    Case(6, "wake-word train with other sounds that are none", r"^rc 2\n[^\n]*--others me: no sound files[^\n]*\n$",
         lambda folder: _empty(folder, "--others")),
    Case(6, "wake-word train with a folder that is not there", r"^rc 2\n[^\n]*nosuch: there is no such folder\n$",
         lambda folder: _train(folder, "--others", "nosuch")),
]  # fmt: skip
