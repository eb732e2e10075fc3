"""All fuzz targets by name."""

from __future__ import annotations

from tests.fuzz import file_targets, model_targets, wire_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {**file_targets.TARGETS, **model_targets.TARGETS, **wire_targets.TARGETS}
