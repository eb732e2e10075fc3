"""How the latent memory records, ages and recalls a modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glasses.events import MemoryIntent


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """The memory's part of a modality's entry in the registry.

    `records`: what of the live sensors is remembered as this modality: "sounds", each audible one, cut where it falls
    silent; "views", each picture that shows something new; "nothing".
    `ages`: how windows take less room as they get old: "pooled", rows averaged over time; "thinned", whole ones kept
    ever more seldom, because a pooled picture shows nothing.
    `answers`: the memory intent of a turn that is given what was remembered last, "" for none.
    """

    records: Literal["sounds", "views", "nothing"] = "nothing"
    ages: Literal["pooled", "thinned"] = "pooled"
    answers: MemoryIntent = ""
