"""A package imports only packages of a lower level; clients of the service load no model runtime.

`python -m tests.unit.test_layers` prints the table of levels.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# From the bottom. What stands on one level does not import each other.
LEVELS = (
    ("types", "errors", "data"),
    ("events", "folders", "media"),
    ("model_store", "backbone", "system"),
    ("audio", "encoders", "connectors", "decoders", "dashboard"),
    ("heads", "devices", "memory", "recording", "tools"),
    ("runtime", "wake_word_training"),
    ("assistant", "service"),
    ("offload", "replay", "evaluation"),
    ("commands",),
    ("__init__", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
PLACES = sorted(
    path.stem for path in (ROOT / "glasses").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
)
HEAVY = ("llama_cpp", "onnxruntime", "torch", "cv2", "sounddevice", "soundfile", "starlette", "uvicorn", "jinja2")


def files(folder: str) -> Iterator[Path]:
    yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Each imported module with its line, those that a string names for importlib included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module = node.value.partition(":")[0]
            if module.startswith(("glasses.", "quantize.")) and module.replace(".", "").isidentifier():
                yield node.lineno, module


def arrows() -> Iterator[tuple[str, str, str]]:
    """(importing place, imported place, where) between the places under glasses/."""
    for path in files("glasses"):
        importer = path.relative_to(ROOT / "glasses").parts[0].removesuffix(".py")
        for line, module in imported(path):
            parts = module.split(".")
            if parts[0] == "glasses" and len(parts) > 1 and parts[1] in PLACES and parts[1] != importer:
                yield importer, parts[1], f"{path.relative_to(ROOT)}:{line}"


def test_places_all_have_a_level() -> None:
    assert sorted(LEVEL) == PLACES
    assert len(PLACES) <= 30
    assert len(LEVELS) <= 10


def test_imports_only_point_to_lower_levels() -> None:
    assert [where for importer, other, where in arrows() if LEVEL[other] >= LEVEL[importer]] == []


def test_glasses_never_imports_quantize_or_the_recipes() -> None:
    others = ("quantize", "models", "tests")
    found = [f"{p}:{line}" for p in files("glasses") for line, m in imported(p) if m.split(".")[0] in others]
    assert found == []


def test_firmware_bridge_never_imports_glasses() -> None:
    found = [f"{p}:{line}" for p in files("firmware_bridge") for line, m in imported(p) if m.startswith("glasses.")]
    assert found == []


def test_service_client_and_protocol_import_only_types_and_errors() -> None:
    """They may import each other too, and where the running glasses are found."""
    allowed = ("glasses.service.client", "glasses.service.protocol", "glasses.types", "glasses.errors")
    allowed += ("glasses.system.kernel_socket",)
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("client", "protocol")
        for path in files(f"glasses/service/{folder}")
        for line, module in imported(path)
        if module.startswith("glasses") and not module.startswith(allowed)
    ]
    assert found == []


@pytest.mark.parametrize(
    "statement",
    [
        "from glasses.service.client import Client, GradientClient, RemoteSession, SyncClient, WebSocket",
        "from glasses.service.client import AddToken, Example, ListTokens, RemoveToken, ToolApp, TrainTokens",
        "from glasses.service.protocol import events, messages, packing, wire",
        "from glasses.types import Latents, Token",
        "from glasses.errors import GlassesError, Reason, RemoteError",
    ],
)
def test_service_client_imports_where_no_model_runtime_is_installed(statement: str) -> None:
    """Blocked modules raise ImportError, as if they were not installed; nothing of the server is loaded either."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n{statement}\n"
        "print([name for name in sys.modules if name.startswith(('glasses.service.server', 'glasses.runtime'))])"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_test_modules_have_unique_file_names() -> None:
    """pytest imports them by file name alone: two with one name are an error of collection, and no test runs."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, n in names.items() if n > 1] == []


def main() -> None:
    pairs = {(importer, other) for importer, other, _ in arrows()}
    for level, names in reversed(list(enumerate(LEVELS, 1))):
        print(f"{level:2}  {' '.join(names)}")
    print(f"{len(PLACES)} places on {len(LEVELS)} levels, {len(pairs)} import arrows between them")


if __name__ == "__main__":
    main()
