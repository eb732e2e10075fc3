"""Finds the data files that commands need: manifests, bundles, artifacts, evaluation sets, boards.

In a checkout they lie in models/ and hardware/. The folders beside this file are links to those, so that a wheel gets
copies of them at the same relative paths. This module is the one place that knows which of the two it is.
"""

from __future__ import annotations

from pathlib import Path

# The repository's root in a checkout, this folder in an installed wheel.
ROOT = (Path(__file__).parent / "models" / "manifests").resolve().parents[1]


def data_path(relative: str) -> Path:
    """Where the data file or folder lies that is at `relative` in the repository; it need not exist."""
    return ROOT / relative
