"""All fuzz targets by name."""

from __future__ import annotations

from tests.fuzz import chat_targets, file_targets, model_targets, wire_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **chat_targets.TARGETS,
    **file_targets.TARGETS,
    **model_targets.TARGETS,
    **wire_targets.TARGETS,
}
