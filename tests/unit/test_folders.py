"""The user's folders: what counts, and what does not."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any

import pytest

from glasses import folders
from glasses.errors import InputError, Reason


def test_folders_absolute_variables_count() -> None:
    environ = {"XDG_CONFIG_HOME": "/a", "XDG_CACHE_HOME": "/b", "XDG_STATE_HOME": "/c"}
    found = folders.config_folder(environ), folders.cache_folder(environ), folders.state_folder(environ)
    assert found == (Path("/a"), Path("/b"), Path("/c"))


@pytest.mark.parametrize("given", ["", "here", "./here", "~/here"])
def test_folders_relative_variables_do_not_count(given: str) -> None:
    environ = {"HOME": "/h", "XDG_CONFIG_HOME": given, "XDG_CACHE_HOME": given, "XDG_STATE_HOME": given}
    found = folders.config_folder(environ), folders.cache_folder(environ), folders.state_folder(environ)
    assert found == (Path("/h/.config"), Path("/h/.cache"), Path("/h/.local/state"))


def test_home_of_a_user_without_one_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> Any:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    with pytest.raises(InputError, match="set HOME") as caught:
        folders.home({})
    assert caught.value.reason is Reason.NOT_FOUND


def test_expanded_unknown_user_is_an_input_error() -> None:
    assert folders.expanded("~/x", {"HOME": "/h"}) == Path("/h/x")
    assert folders.expanded("/a/~/x", {"HOME": "/h"}) == Path("/a/~/x")
    with pytest.raises(InputError, match="there is no user nobody-of-that-name"):
        folders.expanded("~nobody-of-that-name/x")
