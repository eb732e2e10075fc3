"""Tools from files of the wearer and from installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from glasses.tools import plugins
from glasses.tools.builtin import BUILTIN
from glasses.tools.plugins import add_each, load_plugins
from glasses.tools.registry import ToolRegistry
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext, tool

COIN = '''
from __future__ import annotations
from glasses.tools.builtin.notes import recall  # not its own
from glasses.tools.tool import ToolContext, tool

@tool(examples=("Flip a coin.",))
def flip_coin(context: ToolContext, times: int = 1) -> str:
    """Flips a coin."""
    return "Heads. " * times
'''


@tool
def from_a_package(context: ToolContext) -> str:
    """Comes from a package."""
    return "Here."


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tools").mkdir(mode=0o755)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("glasses_user_tools"):
            del sys.modules[name]


def test_load_plugins_takes_the_tools_that_files_make_themselves(config: Path) -> None:
    (config / "tools.py").write_text(COIN)
    (config / "tools" / "dice.py").write_text(COIN.replace("coin", "dice"))
    found = load_plugins(config)
    assert found.problems == ()
    assert [(one.name, one.origin) for one in found.tools] == [
        ("flip_coin", str(config / "tools.py")),
        ("flip_dice", str(config / "tools" / "dice.py")),
    ]
    context = ToolContext(datetime.now, ToolStore(":memory:"))
    assert found.tools[0].call(context, {"times": 2}) == "Heads. Heads. "
    context.store.close()


def test_load_plugins_without_files_finds_nothing(tmp_path: Path) -> None:
    assert load_plugins(tmp_path / "none") == plugins.Plugins((), ())


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = 1\ny = nothing\n", "line 2: NameError: name 'nothing' is not defined"),
        ("x = (\n", "line 1: '(' was never closed"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("\0", "line 1: source code string cannot contain null bytes"),
        (
            "from glasses.tools.tool import tool\n\n@tool\ndef f(context): return ''\n",
            "line 3: TypeError: tool f needs",
        ),
    ],
)
def test_load_plugins_tells_file_and_line_of_an_error_and_loads_the_rest(config: Path, source: str, why: str) -> None:
    (config / "tools" / "a.py").write_text(source)
    (config / "tools" / "b.py").write_text(COIN)
    found = load_plugins(config)
    assert [one.name for one in found.tools] == ["flip_coin"]
    assert [one.origin for one in found.problems] == [str(config / "tools" / "a.py")]
    if "\0" not in source:  # its words are Python's
        assert found.problems[0].why.startswith(why)


def test_load_plugins_refuses_a_file_that_others_may_write(config: Path) -> None:
    (config / "tools.py").write_text(COIN)
    (config / "tools.py").chmod(0o666)
    found = load_plugins(config)
    assert found.tools == ()
    assert "others may write" in found.problems[0].why


def test_load_plugins_refuses_a_file_in_a_folder_that_others_may_write(config: Path) -> None:
    (config / "tools" / "a.py").write_text(COIN)
    (config / "tools").chmod(0o777)
    assert [one.why.split(":")[0] for one in load_plugins(config).problems] == [
        f"others may write {config / 'tools'}, so it is not used"
    ]


def test_load_plugins_of_a_folder_and_a_dangling_link_says_so(config: Path) -> None:
    (config / "tools" / "a.py").mkdir()
    (config / "tools" / "b.py").symlink_to(config / "gone.py")
    problems = load_plugins(config).problems
    assert "not a plain file" in problems[0].why
    assert problems[1].why == "cannot be read: No such file or directory"


def test_load_plugins_of_entry_points_takes_tools_and_modules_and_survives_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = __name__
    given = [
        EntryPoint("one", f"{here}:from_a_package", plugins.ENTRY_POINTS),
        EntryPoint("module", here, plugins.ENTRY_POINTS),
        EntryPoint("gone", "no_such_package_here", plugins.ENTRY_POINTS),
        EntryPoint("wrong", f"{here}:COIN", plugins.ENTRY_POINTS),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints(given).select(group=group))
    found = load_plugins(tmp_path)
    assert [one.name for one in found.tools] == ["from_a_package"] * 2
    assert ["no_such_package_here" in str(one) or "an entry point is" in str(one) for one in found.problems] == [
        True
    ] * 2


def test_add_each_reports_a_name_that_is_taken_and_adds_the_rest() -> None:
    registry = ToolRegistry(BUILTIN)
    clock = replace(BUILTIN[0], origin="tools.py")
    added, problems = add_each(registry, [clock, from_a_package])
    assert added == [from_a_package]
    assert [str(one) for one in problems] == ["tools of tools.py: there is a tool time already: choose another name"]
