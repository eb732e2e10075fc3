"""Tools that people write: Python files in the configuration folder, and packages' entry points `glasses.tools`.

A file is `tools.py` or any `*.py` in `tools/`; every Tool that it makes at its top level is taken. An entry point names
a Tool, a sequence of Tools, or a module with Tools. What cannot be loaded is a `Problem`; the other tools come all the
same.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from glasses.errors import GlassesError, InputError, Reason
from glasses.tools.registry import ToolRegistry
from glasses.tools.tool import Tool

ENTRY_POINTS = "glasses.tools"
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """Why tools of `origin` are missing: one sentence that names the file and the line, where there are any."""

    origin: str
    why: str

    def __str__(self) -> str:
        return f"tools of {self.origin}: {self.why}"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What was found."""

    tools: tuple[Tool, ...]
    problems: tuple[Problem, ...]


def load_plugins(config_folder: Path) -> Plugins:
    """The tools of installed packages and of the files in `config_folder`. Raises nothing: what failed is a Problem."""
    tools: list[Tool] = []
    problems: list[Problem] = []
    for origin, load in (*_packages(), *_files(config_folder)):
        try:
            tools += [replace(tool, origin=origin) for tool in load()]
        except GlassesError as error:
            problems.append(Problem(origin, str(error)))
        except (Exception, SystemExit) as error:  # anybody's code
            problems.append(Problem(origin, _explained(error, origin)))
    return Plugins(tuple(tools), tuple(problems))


def add_each(registry: ToolRegistry, tools: Iterable[Tool]) -> tuple[list[Tool], list[Problem]]:
    """Adds one after the other, so that one with a name that is taken costs no other; what was added, and what not."""
    added: list[Tool] = []
    problems: list[Problem] = []
    for tool in tools:
        try:
            registry.add(tool)
        except InputError as error:
            problems.append(Problem(tool.origin, str(error)))
        else:
            added.append(tool)
    return added, problems


def _packages() -> Iterator[tuple[str, Any]]:
    for entry in entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else entry.value

        def load(entry: Any = entry) -> list[Tool]:
            return _tools_in(entry.load())

        yield f"package {package}", load


def _files(folder: Path) -> Iterator[tuple[str, Any]]:
    try:
        found = [path for path in (folder / "tools.py",) if os.path.lexists(path)]
        found += sorted((folder / "tools").glob("*.py"))[:MAX_FILES]
    except OSError as error:
        why = f"cannot be looked at: {error.strerror}"

        def refuse() -> list[Tool]:
            raise OSError(why)

        yield str(folder / "tools"), refuse
        return
    for path in found:

        def load(path: Path = path) -> list[Tool]:
            return _tools_in(_module(path))

        yield str(path), load


def _module(path: Path) -> ModuleType:
    """The file's module, run. Raises InputError for a file that others may change, and what the file itself raises."""
    source = _read(path)
    name = f"glasses_user_tools_{path.parent.name}_{path.stem}".replace("-", "_").replace(".", "_")
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # annotations are resolved by the module's name
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _read(path: Path) -> bytes:
    """The file's bytes. It runs with all that the wearer may do, so nobody else may be able to write it.

    Raises InputError: REFUSED, TOO_LARGE, BAD_INPUT for what is no plain file or cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            os.close(file)
            raise InputError(Reason.BAD_INPUT, "not a plain file")
        with open(file, "rb") as opened:
            source = opened.read(MAX_FILE_BYTES + 1)
        parent = path.parent.stat()
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot be read: {error.strerror}") from error
    for one, found in ((path, status), (path.parent, parent)):
        if _others_may_write(found):
            raise InputError(
                Reason.REFUSED, f"others may write {one}, so it is not used: chown it to you and chmod go-w"
            )
    if len(source) > MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"over {MAX_FILE_BYTES} bytes")
    return source


def _others_may_write(status: os.stat_result) -> bool:
    """Whether anybody but this user and root may. A group with the user's number is the user's own (as in Debian)."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and status.st_gid not in (0, status.st_uid)


def _tools_in(given: Any) -> list[Tool]:
    if isinstance(given, Tool):
        return [given]
    if isinstance(given, ModuleType):
        return list({id(one): one for one in vars(given).values() if _is_made_in(one, given)}.values())
    if isinstance(given, list | tuple) and all(isinstance(one, Tool) for one in given):
        return list(given)
    raise TypeError("an entry point is a Tool, a list of Tools, or a module with Tools")


def _is_made_in(one: Any, module: ModuleType) -> bool:
    """Whether it is a Tool of the module's own: one that it imported is its author's."""
    return isinstance(one, Tool) and getattr(one.function, "__module__", module.__name__) == module.__name__


def _explained(error: BaseException, origin: str) -> str:
    """The error with the line of the file in which it came up."""
    if isinstance(error, SyntaxError) and error.filename == origin:
        return f"line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"line {lines[-1]}: {said}" if lines else said
