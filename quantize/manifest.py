"""Manifests of models that are made from others."""

from __future__ import annotations

import json
from pathlib import Path

from glasses.model_store import sources, store


def manifest_of(name: str, original: store.Manifest, replaced: dict[str, Path]) -> str:
    """The TOML of a variant of `original`, some of whose files, by name, are others."""
    kind = f'\nkind = "{original.kind}"' if original.kind else ""
    head = f"""# Made from {original.name} by `quantize bundle`.
name = "{name}"
role = "{original.role}"{kind}
licence = "{original.licence}"
upstream = "{original.upstream}"
"""
    return head + "".join(
        _entry(path.name, old.role, path.stat().st_size, store.sha256_of(path), [f"file:{path.name}"])
        if (path := replaced.get(old.name))
        else _entry(old.name, old.role, old.size_bytes, old.sha256, [_origin(source) for source in old.sources])
        for old in original.files
    )


def _entry(name: str, role: str, size_bytes: int, sha256: str, origins: list[str | list[str]]) -> str:
    role_line = f'\nrole = "{role}"' if role else ""
    return f"""
[[files]]
name = "{name}"{role_line}
size_bytes = {size_bytes}
sha256 = "{sha256}"
sources = {json.dumps(origins)}
"""


def _origin(source: sources.Source) -> str | list[str]:
    return [str(piece) for piece in source.pieces] if isinstance(source, sources.Joined) else str(source)
