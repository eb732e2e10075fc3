"""The recordings behind the ambience connector: which file of which package is which sound, and on which side of the
split.

The table `sound_recordings.tsv` is the data; this module reads it and the unpacked packages (see sound_fetch). A
package never gives the same class to both sides.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes.sound_archives import SOUND_SUFFIXES, members

MAX_S = 20.0
TABLE = Path(__file__).with_name("sound_recordings.tsv")
ARCHIVES = (".rcc", ".cat", ".sf2", ".pk3", ".zip", ".ocg")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. `sequence`: the files hold single steps, keys or notes, to be strung together."""

    label: str
    split: str
    package: str
    pattern: str
    sequence: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One labelled recording at 16 kHz, peak 1; `name` is its path in the package."""

    rule: Rule
    name: str
    pcm: Float32Array


def rules(table: Path = TABLE) -> list[Rule]:
    """Reads the table. Raises ValueError if a package gives one class to both sides."""
    lines = [line.split("\t") for line in table.read_text().splitlines() if line and not line.startswith("#")]
    found = [Rule(*fields[:4], len(fields) > 4 and fields[4] == "sequence") for fields in lines]
    sides: dict[tuple[str, str], str] = {}
    for rule in found:
        if sides.setdefault((rule.label, rule.package), rule.split) != rule.split:
            raise ValueError(f"{rule.package} gives {rule.label} to both sides of the split")
    return found


def decode(blob: bytes) -> Float32Array | None:
    """A sound file in memory -> float32 mono at 16 kHz, silence trimmed, peak 1; None where there is nothing
    to hear.
    """
    with soundfile.SoundFile(io.BytesIO(blob)) as sound:
        pcm = sound.read(int(MAX_S * sound.samplerate), dtype="float32", always_2d=True).mean(axis=1)
        rate_hz = sound.samplerate
    pcm = soxr.resample(pcm, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)
    peak = np.abs(pcm).max() if len(pcm) else 0.0
    if peak < 1e-4:
        return None
    loud = np.flatnonzero(np.abs(pcm) > 0.01 * peak)
    return pcm[loud[0] : loud[-1] + 1] / peak


def _candidates(folder: Path) -> Iterator[tuple[str, Path, bytes | None]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        name = "/" + str(path.relative_to(folder))
        if path.suffix.lower() in SOUND_SUFFIXES:
            yield name, path, None
        elif path.suffix.lower() in ARCHIVES:
            for member, blob in members(path):
                yield f"{name}::{member}", path, blob


def recordings(packages: Path, *, at_most: int = 60) -> Iterator[Recording]:
    """Yields the recordings of every rule from the unpacked `packages`, at most `at_most` (evenly spaced) for
    one rule.
    """
    table = rules()
    for package in dict.fromkeys(rule.package for rule in table):
        mine = [rule for rule in table if rule.package == package]
        found: dict[Rule, list[tuple[str, Path, bytes | None]]] = {rule: [] for rule in mine}
        for candidate in _candidates(packages / package):
            for rule in mine:
                if re.search(rule.pattern, candidate[0]):
                    found[rule].append(candidate)
        for rule, hits in found.items():
            if not hits:
                raise ValueError(
                    f"no file of {package} matches {rule.pattern!r}: was it fetched (models.recipes.sound_fetch)?"
                )
            for i in np.unique(np.linspace(0, len(hits) - 1, min(at_most, len(hits))).astype(int)):
                name, path, blob = hits[i]
                try:
                    pcm = decode(blob if blob is not None else path.read_bytes())
                except soundfile.LibsndfileError as error:
                    print(f"left out: {package}{name}: {error}")
                    continue
                if pcm is not None:
                    yield Recording(rule, name, pcm)
