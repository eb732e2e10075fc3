"""What make would run, asked of `make --dry-run`: nothing is built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands_for(target: str, **variables: str) -> str:
    """All that make runs for `target` where nothing of it is there yet."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "CMAKE_ARGS"}}
    ran = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT,
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


@pytest.mark.parametrize(("cmake_args", "uncached"), [("", False), ("-DGGML_NATIVE=OFF", True)])
def test_llama_cpp_with_cmake_args_is_built_past_the_cache_of_pip(cmake_args: str, uncached: bool) -> None:
    commands = commands_for(".venv-wheels/.ready", CMAKE_ARGS=cmake_args)
    assert cmake_args in commands
    assert ("--no-cache-dir" in commands) is uncached
