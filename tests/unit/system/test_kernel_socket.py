"""The socket of the running glasses: whose it is, what is replaced, what is refused."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from glasses.errors import InputError, Reason
from glasses.system import kernel_socket


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    return tmp_path


def test_bound_socket_is_this_users_alone_and_gone_afterwards(folder: Path) -> None:
    assert kernel_socket.kernel_address() is None
    with kernel_socket.bound():
        assert stat.S_IMODE((folder / "glasses.sock").stat().st_mode) == 0o600
        assert kernel_socket.kernel_address() == f"unix:{folder}/glasses.sock"
    assert not (folder / "glasses.sock").exists()
    assert kernel_socket.kernel_address() is None


def test_bound_socket_of_a_dead_process_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "glasses.sock"))
    assert kernel_socket.kernel_address() is None
    with kernel_socket.bound():
        assert kernel_socket.kernel_address()


@pytest.mark.parametrize("other", ["glasses run", "glasses serve"])
def test_bound_where_another_process_listens_is_refused_and_leaves_it(folder: Path, other: str) -> None:
    path = folder / "glasses.sock"
    if other == "glasses run":
        with kernel_socket.bound():
            second = kernel_socket.bound()
            with pytest.raises(InputError, match="serves apps there already") as refused:
                second.__enter__()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
            made.listen()
            with pytest.raises(InputError, match="serves apps there already") as refused, kernel_socket.bound():
                pass
            assert path.is_socket()
    assert refused.value.reason is Reason.BUSY


@pytest.mark.parametrize("what", ["file", "link"])
def test_bound_where_something_else_lies_is_refused_and_leaves_it(folder: Path, what: str) -> None:
    path = folder / "glasses.sock"
    if what == "file":
        path.write_text("mine")
    else:
        path.symlink_to(folder / "elsewhere")
    with pytest.raises(InputError, match="is no socket of this user"), kernel_socket.bound():
        pass
    assert path.is_symlink() or path.read_text() == "mine"


def test_bound_in_a_folder_that_others_may_write_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(InputError, match="not this user's alone"), kernel_socket.bound():
        pass


def test_bound_path_that_is_too_long_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / ("x" * 100)))
    with pytest.raises(InputError, match="too long for a socket"), kernel_socket.bound():
        pass


def test_bound_error_of_what_runs_meanwhile_is_its_own() -> None:
    with pytest.raises(OSError, match="elsewhere"), kernel_socket.bound():
        raise OSError("elsewhere")
