"""The file by which `glasses run` is found: owned, locked, and never followed through a link."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasses.errors import GlassesError, InputError, Reason
from glasses.system.process_file import WIPE, ProcessFile, process_file_path, request_wipe, running_pid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def handled(action: Callable[..., Any]) -> Iterator[None]:
    before = signal.signal(WIPE, action)
    try:
        yield
    finally:
        signal.signal(WIPE, before)


def test_process_file_without_runtime_folder_is_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert process_file_path() == tmp_path / "state" / "glasses" / "glasses-run.pid"
    with ProcessFile().published():
        assert running_pid() == os.getpid()


def test_process_file_published_is_found_and_only_its_user_may_read(folder: Path) -> None:
    with ProcessFile().published():
        assert running_pid() == os.getpid()
        assert (folder / "glasses-run.pid").stat().st_mode & 0o777 == 0o600
        with ProcessFile().published():  # a second one runs all the same
            assert running_pid() == os.getpid()
    with pytest.raises(InputError) as error:
        running_pid()
    assert error.value.reason is Reason.NOT_FOUND


def test_process_file_of_a_dead_process_is_not_found(folder: Path) -> None:
    (folder / "glasses-run.pid").write_text(f"{os.getpid()} 0\n")
    with pytest.raises(InputError, match="no `glasses run`"):
        running_pid()


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_process_file_linked_is_refused_and_its_target_kept(folder: Path, kind: str) -> None:
    target = folder / "precious"
    target.write_text("keep me")
    link = folder / "glasses-run.pid"
    link.symlink_to(target) if kind == "symbolic" else link.hardlink_to(target)
    for use in (ProcessFile().published().__enter__, running_pid):
        with pytest.raises(InputError) as error:
            use()
        assert error.value.reason is Reason.REFUSED
    assert target.read_text() == "keep me"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_process_file_of_another_user_is_refused(folder: Path) -> None:
    path = folder / "glasses-run.pid"
    path.write_text("1 0\n")
    os.chown(path, 12345, 12345)
    with pytest.raises(InputError, match="not a plain file of this user"):
        running_pid()
    with pytest.raises(InputError, match="not a plain file of this user"), ProcessFile().published():
        pass
    assert path.read_text() == "1 0\n"


def test_request_wipe_returns_only_after_the_confirmation() -> None:
    """The wipe takes a while: the request must not return before it is done."""
    process = ProcessFile()
    wiped: list[int] = []

    def wipe() -> None:
        asked_ns = time.monotonic_ns()
        time.sleep(0.2)
        wiped.append(asked_ns)
        process.confirm_wipe(asked_ns)

    with handled(lambda *_: threading.Thread(target=wipe).start()), process.published():
        for n in (1, 2):
            assert request_wipe() == os.getpid()
            assert len(wiped) == n


def test_request_wipe_unconfirmed_raises_timeout() -> None:
    process = ProcessFile()
    with handled(lambda *_: process.confirm_wipe(1)), process.published(), pytest.raises(GlassesError) as error:
        request_wipe(0.1)  # what was confirmed is an earlier wipe
    assert error.value.reason is Reason.TIMEOUT
    assert str(os.getpid()) in str(error.value)


def test_request_wipe_process_ends_counts_as_wiped() -> None:
    """What it remembered was in its memory only."""
    process = ProcessFile()
    running = process.published()
    running.__enter__()
    with handled(lambda *_: running.__exit__(None, None, None)):
        assert request_wipe() == os.getpid()


def test_process_file_lock_waits_for_a_command_that_reads() -> None:
    """A command that reads holds a shared lock for a moment; a process that starts then is findable all the same."""
    path = process_file_path()
    path.touch(mode=0o600)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.05, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        with ProcessFile().published():
            assert running_pid() == os.getpid()
