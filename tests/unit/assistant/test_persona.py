"""Personas in files: read, checked, refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.assistant import persona
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, Reason
from glasses.tools.builtin import BUILTIN


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = persona.folder()
    found.mkdir(parents=True)
    return found


def test_load_without_a_name_is_what_the_connectors_were_trained_after() -> None:
    assert persona.load(None).system == SYSTEM
    assert all(persona.load(None).allows(tool) for tool in BUILTIN)


def test_load_reads_the_file(folder: Path) -> None:
    (folder / "max.toml").write_text('name = "Max"\ngreeting = "Max here."\nverbosity = "short"\ntools = ["time"]\n')
    found = persona.load("max")
    assert "You are Max" in found.system
    assert (found.greeting, found.max_tokens, persona.names()) == ("Max here.", 32, ["max"])
    assert [tool.name for tool in BUILTIN if found.allows(tool)] == ["time"]
    assert found.unknown_tools(BUILTIN) == []


def test_load_of_its_own_prompt_says_it_word_for_word(folder: Path) -> None:
    (folder / "x.toml").write_text('name = "Max"\nprompt = "You are a pirate."\n')
    assert persona.load("x").system == "You are a pirate."


@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        ("name = ", Reason.CORRUPT, "x.toml"),
        ("colour = 1", Reason.BAD_INPUT, "colour"),
        ("speed = 900", Reason.BAD_INPUT, "speed"),
        ('verbosity = "loud"', Reason.BAD_INPUT, "verbosity"),
        ("#" * 20_000, Reason.TOO_LARGE, "x.toml"),
    ],
)
def test_load_of_a_wrong_file_names_it(folder: Path, text: str, reason: Reason, named: str) -> None:
    (folder / "x.toml").write_text(text)
    with pytest.raises(InputError, match=named) as error:
        persona.load("x")
    assert error.value.reason is reason


@pytest.mark.parametrize("name", ["max", "../max", ".max"])
def test_load_of_none_that_is_there_lists_what_there_is(folder: Path, name: str) -> None:
    (folder / "sam.toml").write_text("")
    (folder.parent / "max.toml").write_text("")
    with pytest.raises(InputError, match="sam"):
        persona.load(name)


def test_unknown_tools_says_which_is_meant() -> None:
    (problem,) = persona.Persona(tools=("set_timr", "time")).unknown_tools(BUILTIN)
    assert "set_timer" in problem
