"""Which bundle a machine should use: what fits into its memory, and answers soon enough.

The bundles that were measured (`[figures]` in their files) are candidates. What is chosen without measuring this
machine, as each start does, goes by memory alone, and no further than DEFAULT_AT_MOST; `glasses models recommend`
measures its speed as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from glasses.errors import GlassesError
from glasses.model_store import store
from glasses.system.memory_limit import memory_limit

# For the system and other programs: a fixed part, which a board without a desktop needs (100 to 200 MB) with room for
# files, and a share, as machines with more memory do more beside.
RESERVED_MB, RESERVED_SHARE = 200.0, 0.2
# A start never takes a larger one unless it is named: on a board that can only just hold it, its answers come late.
DEFAULT_AT_MOST = "desk"
ENVIRONMENT = "GLASSES_BUNDLE"


def measured_bundles() -> list[store.Bundle]:
    """The bundles with figures, the smallest first."""
    bundles = [store.load_bundle(name) for name in store.bundle_names()]
    return sorted((one for one in bundles if one.figures), key=needed_mb)


def needed_mb(bundle: store.Bundle) -> float:
    """The memory that a bundle takes, as measured; 0 where nobody has measured it."""
    return bundle.figures.memory_mb if bundle.figures else 0.0


def room_mb(limit_mb: float) -> float:
    """What of a machine's (or a control group's) memory is left for a bundle."""
    return limit_mb - max(RESERVED_MB, RESERVED_SHARE * limit_mb)


def fitting(bundles: Sequence[store.Bundle], limit_mb: float) -> list[store.Bundle]:
    """Those that fit into so much memory, the smallest first; the smallest of all is always among them."""
    room = room_mb(limit_mb)
    return [one for i, one in enumerate(bundles) if i == 0 or needed_mb(one) <= room]


def bundle_to_pull(*, limit_mb: float | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The bundle that this machine should have: the one that $GLASSES_BUNDLE names, else by its memory the largest that
    fits, up to DEFAULT_AT_MOST.
    """
    if named := environ.get(ENVIRONMENT):
        return named
    limit_mb = memory_limit().mb if limit_mb is None else limit_mb
    return _candidates(limit_mb)[-1].name


def chosen_bundle(
    name: str = store.AUTO_BUNDLE, *, limit_mb: float | None = None, environ: Mapping[str, str] = os.environ
) -> str:
    """The bundle of this name; for "auto" the one that $GLASSES_BUNDLE names, else the largest of those that fit, up
    to DEFAULT_AT_MOST, and have been pulled. Where none has, the one that should be.
    """
    if name != store.AUTO_BUNDLE:
        return name
    if named := environ.get(ENVIRONMENT):
        return named
    candidates = _candidates(memory_limit().mb if limit_mb is None else limit_mb)
    here = [one for one in candidates if _is_here(one)]
    return (here or candidates)[-1].name


def _candidates(limit_mb: float) -> list[store.Bundle]:
    bundles = measured_bundles()
    most = next(i for i, one in enumerate(bundles) if one.name == DEFAULT_AT_MOST)
    return fitting(bundles[: most + 1], limit_mb)


def _is_here(bundle: store.Bundle) -> bool:
    try:
        return store.is_pulled(bundle)
    except GlassesError:  # a model cache that cannot be read: opening it says so
        return False
