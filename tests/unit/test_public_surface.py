"""What `import glasses` gives an app, and how other packages add commands."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import glasses
from glasses.__main__ import COMMANDS, RENAMED

EXAMPLE = """
def add_parser(subparsers):
    parser = subparsers.add_parser("greet", help="say hello")
    parser.add_argument("name")
    parser.set_defaults(run=run)

def run(args):
    print("hello", args.name)
    return 7
"""


def run_python(program: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {program}" if path else program
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_glasses_loads_no_other_module_of_ours() -> None:
    ran = run_python("import sys, glasses; print([name for name in sys.modules if name.startswith('glasses')])")
    assert ran.stdout.strip() == "['glasses']"


def test_every_exported_name_can_be_imported() -> None:
    for name in glasses.__all__:
        assert getattr(glasses, name) is not None
        assert name in dir(glasses)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        glasses.__getattr__("nothing")


def test_package_is_typed() -> None:
    assert (Path(glasses.__file__).parent / "py.typed").exists()


@pytest.mark.models
def test_ask_answers_in_words() -> None:
    with closing(glasses.open_bundle()) as bundle:
        assert "Paris" in glasses.ask(bundle, "What is the capital of France?")


def test_help_names_every_command_and_no_old_name() -> None:
    ran = run_python("from glasses.__main__ import main; main(['--help'])")
    listed = {line.split()[0] for line in ran.stdout.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) <= listed
    assert not set(RENAMED) & listed


def test_old_command_name_works_and_says_what_to_type() -> None:
    ran = run_python("from glasses.__main__ import main; main(['eval', '--limit', '1'])")
    assert "note: `glasses eval` is now `glasses evaluate`" in ran.stderr
    assert "--limit 1" in ran.stderr, "the command's own complaint: it has run"


def installed(folder: Path, module: str) -> Path:
    """A distribution in `folder`, as pip lays it out, that adds the command `greet`."""
    (folder / "greeting.py").write_text(module)
    info = folder / "greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[glasses.commands]\ngreet = greeting\n")
    return folder


def test_installed_package_adds_a_command(tmp_path: Path) -> None:
    path = installed(tmp_path, EXAMPLE)
    ran = run_python("from glasses.__main__ import main; sys.exit(main(['greet', 'Ada']))", path=path)
    assert (ran.returncode, ran.stdout) == (7, "hello Ada\n")
    assert "say hello" in run_python("from glasses.__main__ import main; main(['--help'])", path=path).stdout


def test_installed_package_that_fails_to_load_is_named(tmp_path: Path) -> None:
    """The other commands still work."""
    path = installed(tmp_path, "import what_is_not_there")
    ran = run_python("from glasses.__main__ import main; main(['--help'])", path=path)
    assert "note: command greet of greeting cannot be loaded: No module named 'what_is_not_there'" in ran.stderr
    assert "evaluate" in ran.stdout
