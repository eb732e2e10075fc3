"""The documents tell the truth: links lead somewhere, commands and options exist, README's commands run."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from glasses.__main__ import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BIN = Path(sys.executable).parent
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob(".github/*.md"), *ROOT.glob("[!.]*/**/README.md")]
    if "vendor" not in path.parts and ".venv" not in str(path)
)
MAX_LINES = 200


def blocks(path: Path) -> list[tuple[str, list[str]]]:
    """(what it needs, its lines) of each ```sh block; a comment `<!-- needs X -->` stands on the line before."""
    found = []
    for needs, body in re.findall(r"(?:<!-- needs ([^>]*) -->\n)?```sh\n(.*?)```", path.read_text(), re.DOTALL):
        lines = [line.split("  #")[0].strip() for line in body.splitlines()]
        found.append((needs.strip(), [line for line in lines if line and not line.startswith("#")]))
    return found


def runnable() -> list[str]:
    """The commands of README that need neither hardware nor root, without those that build."""
    lines = [line for needs, body in blocks(README) if not needs for line in body]
    return [line for line in lines if not line.startswith(("make ", "git "))]


def mentioned() -> list[tuple[str, str]]:
    """(document, command line) of each `glasses ...` that a document shows, in a block or between backticks."""
    found = []
    for path in DOCUMENTS:
        if path.name == "CHANGELOG.md":  # it names what is gone
            continue
        lines = [line for _, body in blocks(path) for line in body]
        lines += re.findall(r"`((?:\.venv/bin/)?glasses [a-z][^`\n]*)`", path.read_text())
        for line in lines:
            command = line.removeprefix("sudo ").removeprefix(".venv/bin/")
            if command.startswith("glasses "):
                found.append((str(path.relative_to(ROOT)), command))
    return found


@cache
def help_of(words: tuple[str, ...]) -> tuple[int, str]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        try:
            main([*words, "--help"])
        except SystemExit as end:
            return int(end.code or 0), out.getvalue()
    raise AssertionError(f"`glasses {' '.join(words)} --help` did not end")


def test_readme_fits_five_minutes() -> None:
    assert len(README.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_document_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"`?\bmake ([a-z][a-z-]+)`", path.read_text())}
    named |= {line.split()[1] for path in DOCUMENTS for _, body in blocks(path) for line in body if line[:5] == "make "}
    assert sorted(named - targets) == []


def test_document_commands_and_options_exist() -> None:
    wrong = []
    for path, command in mentioned():
        words = [word for word in shlex.split(command.split(" | ")[0]) if word not in ("...", "|")][1:]
        code, text = help_of((words[0],))
        deeper = help_of(tuple(words[:2])) if code == 0 and not words[-1].startswith("-") else (1, "")
        text += deeper[1] if deeper[0] == 0 else ""
        options = [word.split("=")[0] for word in words if word.startswith("--")]
        if code != 0 or any(option not in text for option in options):
            wrong.append(f"{path}: {command}")
    assert wrong == []


@pytest.mark.models
@pytest.mark.parametrize("command", runnable())
def test_readme_command_runs(command: str, tmp_path: Path) -> None:
    line = command.replace(".venv/bin/", f"{BIN}/")
    env = os.environ | {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    ran = subprocess.run(["bash", "-c", line], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
