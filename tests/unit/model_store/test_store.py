"""The model store with real files, real wheels and the real pip; nothing leaves this machine."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glasses.commands import models as models_command
from glasses.errors import ModelError, Reason
from glasses.model_store import sources, store
from models import refresh
from tests.unit.model_store.shelf import WEIGHTS, describe, nothing_usable, refused, wheel


@pytest.mark.parametrize(
    ("n_bytes", "shown"), [(0, "0 kB"), (14_400, "14 kB"), (999_000, "999 kB"), (1_000_000, "1.0 MB")]
)
def test_models_command_sizes_are_shown_in_kb_or_mb(n_bytes: int, shown: str) -> None:
    assert models_command._size(n_bytes) == shown


def test_pull_of_what_is_there_fetches_nothing(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    store.pull(["tiny"])
    (shelf / "wheels" / "tinydist-1.0-py3-none-any.whl").unlink()
    store.pull(["tiny"])
    assert store.path_of("tiny", "w.bin").exists()
    with pytest.raises(ModelError, match=r"it has w\.bin"):
        store.path_of("tiny", "other.bin")


def makes_backwards(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A maker that turns a file around."""
    (path / "backwards_maker.py").write_text(
        "def make(found, part):\n    part.write_bytes(found.read_bytes()[::-1])\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setitem(sources.MAKERS, "whisper-decoder-int8", ("backwards_maker", "make"))


@pytest.mark.parametrize("kept", [False, True])
def test_pull_of_a_made_file_keeps_its_source_only_where_it_was(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, kept: bool
) -> None:
    makes_backwards(monkeypatch, tmp_path)
    describe(shelf, wheel(shelf))
    (shelf / "manifests" / "tiny.toml").rename(shelf / "manifests" / "raw.toml")
    raw = (shelf / "manifests" / "raw.toml").read_text().replace('name = "tiny"', 'name = "raw"')
    (shelf / "manifests" / "raw.toml").write_text(raw)
    if kept:
        store.pull(["raw"])
    describe(shelf, "made:whisper-decoder-int8:raw/w.bin", data=WEIGHTS[::-1])
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == WEIGHTS[::-1]
    assert (store.states(["raw"])[0].state == "present") is kept
    assert not list((shelf / "cache" / ".stage").iterdir())


def test_pull_of_a_made_file_other_than_the_manifest_says_is_refused(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    makes_backwards(monkeypatch, tmp_path)
    describe(shelf, wheel(shelf))
    raw = (shelf / "manifests" / "tiny.toml").read_text().replace('name = "tiny"', 'name = "raw"')
    (shelf / "manifests" / "raw.toml").write_text(raw)
    describe(shelf, "made:whisper-decoder-int8:raw/w.bin", data=b"1" * len(WEIGHTS))
    refused(Reason.CORRUPT, "made:whisper-decoder-int8:raw/w.bin", "not used")
    assert nothing_usable(shelf)
    describe(shelf, "made:whisper-decoder-int8:raw/other.bin")
    refused(Reason.BAD_INPUT, "no such file")
    describe(shelf, "made:magic:raw/w.bin")
    refused(Reason.BAD_INPUT, "known maker")


def test_pull_wrong_content_is_never_used_and_the_next_source_is_tried(shelf: Path) -> None:
    wrong = wheel(shelf, "wrongdist", data=WEIGHTS[::-1])
    describe(shelf, wrong)
    refused(Reason.CORRUPT, "wrongdist", "sha256", "not used")
    assert nothing_usable(shelf)
    describe(shelf, wrong, wheel(shelf, "gooddist"))
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == WEIGHTS


def test_pull_tells_no_network_from_no_such_package(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(shelf, "pypi:nosuchdist==1.0:w.bin")
    refused(Reason.NOT_FOUND, "nosuchdist==1.0")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    refused(Reason.NO_NETWORK, "nosuchdist==1.0", "check the network")


def test_pull_on_a_full_disk_says_so_and_leaves_nothing(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    part = shelf / "cache" / hashlib.sha256(WEIGHTS).hexdigest() / "w.bin.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # a real disk that is full
    refused(Reason.NO_SPACE, "is full", "GLASSES_MODELS", f"{2 * len(WEIGHTS):,}")
    assert nothing_usable(shelf)


def test_pull_where_nothing_can_be_written_still_shows_what_pip_says(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real pip where it can write no byte to any file: a log of its messages would stay empty."""
    describe(shelf, wheel(shelf))
    whole = Path(sys.executable)
    limited = shelf / "python"
    limited.write_text(f'#!/bin/sh\nulimit -f 0\nexec {whole} "$@"\n')
    limited.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(limited))
    refused(Reason.NO_SPACE, "is full", "GLASSES_MODELS")


def test_pull_that_was_killed_leaves_nothing_usable_and_the_next_succeeds(shelf: Path) -> None:
    data = os.urandom(1 << 20) * 32
    describe(shelf, wheel(shelf, data=data), data=data)
    code = (
        "import pathlib, sys; from glasses.model_store import manifests, store; "
        "manifests.MANIFESTS = pathlib.Path(sys.argv[1]); store.pull(['tiny'])"
    )
    final = shelf / "cache" / hashlib.sha256(data).hexdigest() / "w.bin"
    with subprocess.Popen([sys.executable, "-c", code, str(shelf / "manifests")]) as process:
        while process.poll() is None and not final.with_name("w.bin.part").exists():
            time.sleep(0.001)
        process.kill()
    assert not final.exists() or final.read_bytes() == data
    (shelf / "wheels" / "tinydist-1.0-py3-none-any.whl").unlink()  # what pip had finished must do
    store.pull(["tiny"])
    assert store.path_of("tiny").read_bytes() == data


def test_verify_finds_damage_in_the_cache_and_pull_repairs_it(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    store.pull(["tiny"])
    path = store.path_of("tiny")
    path.write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match="glasses models pull tiny") as caught:
        store.path_of("tiny")
    assert caught.value.reason is Reason.CORRUPT
    store.pull(["tiny"])
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"\xff" + WEIGHTS[1:])
    with pytest.raises(ModelError):
        store.path_of("tiny")
    os.utime(path, ns=times)  # even damage that leaves size and time alone
    assert [state.state for state in store.verify(["tiny"])] == ["corrupt"]
    store.pull(["tiny"])
    assert [state.state for state in store.verify(["tiny"])] == ["present"]


def test_committed_file_is_used_in_place_and_refreshed_on_purpose(shelf: Path) -> None:
    artifact = shelf / "artifacts" / "w.bin"
    describe(shelf, "file:artifacts/w.bin")
    refused(Reason.NOT_FOUND, "git checkout")
    artifact.write_bytes(WEIGHTS)
    store.pull(["tiny"])
    assert store.path_of("tiny") == artifact
    assert nothing_usable(shelf)
    artifact.write_bytes(WEIGHTS[::-1])  # retrained, and as large as before
    with pytest.raises(ModelError, match=r"python -m models\.refresh tiny") as caught:
        store.path_of("tiny")
    assert caught.value.reason is Reason.CORRUPT
    refused(Reason.NOT_FOUND, "models.refresh")
    refresh.main(["tiny"])
    assert store.path_of("tiny") == artifact


def test_pull_cache_that_cannot_be_made_is_an_error(shelf: Path) -> None:
    describe(shelf, wheel(shelf))
    (shelf / "cache").write_text("a file where the folder should be")
    refused(Reason.INTERNAL, str(shelf / "cache"))
    with pytest.raises(ModelError, match="glasses models pull tiny"):
        store.path_of("tiny")


def test_store_unknown_model_is_refused_with_the_known_ones(shelf: Path) -> None:
    describe(shelf, "file:w.bin")
    refused(Reason.NOT_FOUND, "unknown model 'other'", "known: tiny", name="other")
    refused(Reason.NOT_FOUND, "unknown model", name="../manifests/tiny")
    (shelf / "manifests" / "broken.toml").write_text("name = ")
    refused(Reason.BAD_INPUT, "not TOML", name="broken")
    with pytest.raises(ModelError, match="unknown bundle 'suitcase'"):
        store.load_bundle("suitcase")


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    models_command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["models", *words])
    return args.run(args)


def test_models_command_lists_pulls_and_verifies(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(shelf, wheel(shelf))
    assert command("list") == 0
    assert capsys.readouterr().out.split() == ["tiny", "absent", "1.0", "MB", "source", "CC0-1.0"]
    assert command("verify", "tiny") == 1
    assert command("pull", "tiny") == 0
    assert command("verify", "tiny") == 0
    capsys.readouterr()
    assert command("list", "--json") == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["state"] == "present"
    assert model["files"][0]["path"] == str(store.path_of("tiny"))
    store.path_of("tiny").write_bytes(b"")
    assert command("list") == 0
    assert "corrupt:" in capsys.readouterr().out
