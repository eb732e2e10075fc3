"""Where models are kept on this machine, and the bundles that were made here (`quantize bundle`).

The package itself is never written to. `<cache>/bundles/NAME` is the folder of bundle NAME, or a link to one elsewhere:

    bundle.toml                the bundle
    manifests/MODEL.toml       of its models that are not shipped; `file:` is relative to the folder, or as shipped
    ...                        their files
"""

from __future__ import annotations

import os
from pathlib import Path

from glasses import folders

BUNDLE_FILE = "bundle.toml"


def cache_dir() -> Path:
    """The root of the cache; it need not exist. Raises InputError(NOT_FOUND) where this user has no home folder."""
    if chosen := os.environ.get("GLASSES_MODELS"):
        return folders.expanded(chosen).absolute()
    return folders.cache_folder() / "glasses" / "models"


def folder_of(bundle: str) -> Path:
    """The folder of a bundle that was made here; it need not exist."""
    return cache_dir() / "bundles" / bundle


def bundle_names() -> list[str]:
    """The names of the bundles that were made here."""
    return sorted(path.parent.name for path in cache_dir().glob(f"bundles/*/{BUNDLE_FILE}"))


def manifest_paths(name: str = "*") -> list[Path]:
    """The manifests of all bundles that were made here, or those of the model `name`, at most one a bundle."""
    return sorted(cache_dir().glob(f"bundles/*/manifests/{name}.toml"))
