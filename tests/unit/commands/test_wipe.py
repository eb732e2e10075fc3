"""`glasses wipe` waits for the running process, deletes recordings during a recording, and loads few modules."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.recording.folder import segments
from glasses.recording.recorder import Recorder
from glasses.replay.session import entries_of
from glasses.system import process_file
from glasses.system.process_file import WIPE, ProcessFile
from glasses.types import AudioChunk, Wiped


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@contextmanager
def running(wipe: Callable[[], None], *, confirms: bool = True) -> Iterator[None]:
    """This process in the place of `glasses run`, as glasses/commands/run_controls.py makes it findable."""
    process = ProcessFile()

    def on_signal(*_: object) -> None:
        asked_ns = time.monotonic_ns()
        wipe()
        if confirms:
            process.confirm_wipe(asked_ns)

    before = signal.signal(WIPE, on_signal)
    try:
        with process.published():
            yield
    finally:
        signal.signal(WIPE, before)


def test_wipe_reports_after_the_memory_is_wiped(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    with running(lambda: done.append("wiped")):
        assert main(["wipe"]) == 0
        assert done == ["wiped"]
        assert capsys.readouterr().out == f"memory wiped (pid {os.getpid()})\n"
        assert main(["wipe", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"wiped_pid": os.getpid()}


def test_wipe_unconfirmed_says_so_and_still_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "00000001-20260101T000000Z.mcap").write_bytes(b"a recording")
    monkeypatch.setattr(process_file.request_wipe, "__defaults__", (0.1,))
    with running(lambda: None, confirms=False):
        assert main(["wipe", "--recordings", str(tmp_path)]) == 2
    assert "has not confirmed" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mcap"))


def test_wipe_without_a_running_process_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wipe"]) == 2
    assert "no `glasses run` of this user runs" in capsys.readouterr().err


def test_wipe_recordings_deletes_what_is_being_recorded(tmp_path: Path) -> None:
    """This is the case of `glasses run --record` and `glasses wipe --recordings`; here both are this process."""
    folder = tmp_path / "recordings"
    recorder = Recorder(folder, {})
    try:
        with running(lambda: recorder.put(Wiped(2))):
            recorder.put(AudioChunk(1, 0, np.full(320, 7, np.int16), 16_000))
            while recorder.n_written == 0:
                time.sleep(0.01)
            assert list(folder.glob("*.part")), "it is being written"
            assert main(["wipe", "--recordings", str(folder)]) == 0
        assert not list(folder.glob("*.mcap*"))
        recorder.put(AudioChunk(3, 0, np.full(320, 8, np.int16), 16_000))
    finally:
        recorder.close()
    (later,) = segments(folder)
    assert [entry.t_ns for entry in entries_of(later.path) if isinstance(entry, AudioChunk)] == [3]
    (folder / "00000009-20260101T000000Z.mcap.part").write_bytes(b"what a killed process left")
    assert main(["wipe", "--recordings", str(folder)]) == 0
    assert not list(folder.glob("*.mcap*"))


def test_wipe_starts_with_few_modules() -> None:
    """It is the panic button of a board with 512 MB: it loads itself, the process file and what the two need."""
    program = (
        "import sys; from glasses.__main__ import main; main(['wipe']); "
        "print(*[name for name in sys.modules if name.split('.')[0] in ('glasses', 'firmware_bridge')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(ran.stdout.split()) <= 8, ran.stdout


def test_wipe_deletes_the_index_of_documents_even_where_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    index = tmp_path / "glasses" / "documents.db"
    index.parent.mkdir()
    index.write_bytes(b"words of documents")
    assert main(["wipe"]) == 2
    assert not index.exists()
