"""`glasses models recommend`: which bundle this machine should use, by its memory and a speed that is measured here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil
from rich.console import Console
from rich.table import Table

from glasses.decoders.speech import Voice
from glasses.errors import ModelError, Reason
from glasses.evaluation.progress import progress
from glasses.model_store import store
from glasses.runtime import first_sound
from glasses.runtime.bundle import open_bundle, open_voice
from glasses.runtime.bundle_choice import fitting, measured_bundles, needed_mb, room_mb
from glasses.runtime.first_sound import FirstSound
from glasses.system.memory_limit import MemoryLimit, memory_limit

# The project's own choice: people who have asked something begin to wonder after about a second.
SOON_ENOUGH_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of the table. `first_sound_ms` is None where no bundle is here to measure with; `how` says where it comes
    from: "measured", or "scaled from NAME".
    """

    name: str
    questions_percent: int
    memory_mb: float
    disk_mb: float
    pulled: bool
    fits: bool
    first_sound_ms: float | None
    how: str


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Raises GlassesError."""
    limit, bundles = memory_limit(), measured_bundles()
    able = fitting(bundles, limit.mb)
    measured = _measure([one for one in able if store.is_pulled(one)])
    rows = [_row(one, measured, fits=one in able) for one in bundles]
    chosen, why = recommend(rows, limit)
    if (busy := psutil.getloadavg()[0]) > (cores := psutil.cpu_count() or 1):
        why += f" This machine is busy ({busy:.0f} programs want its {cores} cores): measure again when it is not."
    if args.json:
        memory = {"limit_mb": round(limit.mb), "of": limit.of, "for_a_bundle_mb": round(room_mb(limit.mb))}
        stages = {name: asdict(one) for name, one in measured.items()}
        table = [asdict(row) for row in rows]
        found = {"recommended": chosen.name, "why": why, "memory": memory, "bundles": table, "measured": stages}
        print(json.dumps(found, ensure_ascii=False))
        return 0
    Console().print(_table(rows, chosen))
    print(why)
    print("\n".join(_to_do(chosen)))
    return 0


def recommend(rows: Sequence[Candidate], limit: MemoryLimit) -> tuple[Candidate, str]:
    """The best one of those that fit and answer soon enough, else the smallest; and why, as a sentence or two."""
    able = [row for row in rows if row.fits]
    soon = [row for row in able if row.first_sound_ms is None or row.first_sound_ms <= SOON_ENOUGH_MS]
    chosen = max(soon, key=lambda row: row.questions_percent) if soon else able[0]
    why = f"{chosen.name}: it answers {chosen.questions_percent}% of the simple questions"
    if chosen.first_sound_ms is not None:
        why += f", after about {chosen.first_sound_ms:.0f} ms"
    room = f"{room_mb(limit.mb):,.0f} of the {limit.mb:,.0f} MB of {limit.of} are for a bundle"
    against = [f"{row.name} does not fit: {room}" for row in rows if not row.fits]
    against += [
        f"{row.name} would answer after {row.first_sound_ms:.0f} ms, over {SOON_ENOUGH_MS:.0f}"
        for row in able
        if row not in soon and row is not chosen
    ]
    if chosen not in soon:
        against.append(f"even that is over {SOON_ENOUGH_MS:.0f} ms, but nothing smaller is there")
    if chosen.memory_mb > room_mb(limit.mb):
        against.append(f"it takes {chosen.memory_mb:.0f} MB, but {room}: end other programs")
    if chosen.first_sound_ms is None:
        against.append("no bundle is here to measure with, so memory alone decides; pull one and ask again")
    return chosen, ". ".join([why, *against]) + "."


def _measure(bundles: Sequence[store.Bundle]) -> dict[str, FirstSound]:
    """What each takes here, one after the other."""
    found: dict[str, FirstSound] = {}
    with progress() as tick:
        for done, bundle in enumerate(bundles):
            tick("measuring", done, len(bundles))
            with _voice(bundle.name) as voice:
                loaded = open_bundle(bundle.name)
                try:
                    found[bundle.name] = first_sound.measure(loaded, voice)
                finally:
                    loaded.close()
    return found


@contextmanager
def _voice(bundle: str) -> Iterator[Voice | None]:
    try:
        voice = open_voice(bundle)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        yield None
        return
    with voice:
        yield voice


def _row(bundle: store.Bundle, measured: dict[str, FirstSound], *, fits: bool) -> Candidate:
    """`measured` is scaled to what is not here from the largest that is: the nearest in size."""
    size, found, how = first_sound.backbone_bytes(bundle), measured.get(bundle.name), "measured"
    if found is None and measured:
        found = max(measured.values(), key=lambda one: one.backbone_bytes)
        how = f"scaled from {found.bundle}"
    return Candidate(
        name=bundle.name,
        questions_percent=bundle.figures.questions_percent if bundle.figures else 0,
        memory_mb=needed_mb(bundle),
        disk_mb=round(sum(store.load_manifest(name).size_bytes for name in bundle.models()) / 1e6),
        pulled=store.is_pulled(bundle),
        fits=fits,
        first_sound_ms=round(found.expected_ms(size)) if found else None,
        how=how if found else "",
    )


def _table(rows: Sequence[Candidate], chosen: Candidate) -> Table:
    table = Table()
    for heading in ("bundle", "questions right", "first sound", "memory", "disk", "here"):
        table.add_column(heading, justify="left" if heading in ("bundle", "here") else "right")
    for row in rows:
        wait = "?" if row.first_sound_ms is None else f"{row.first_sound_ms:,.0f} ms, {row.how}"
        memory = f"{row.memory_mb:,.0f} MB" + ("" if row.fits else ", too much")
        marked = f"[bold]{row.name}[/bold]" if row is chosen else row.name
        here = "yes" if row.pulled else "no"
        table.add_row(marked, f"{row.questions_percent}%", wait, memory, f"{row.disk_mb:,.0f} MB", here)
    return table


def _to_do(chosen: Candidate) -> list[str]:
    lines = [] if chosen.pulled else [f"fetch it:  glasses models pull --bundle {chosen.name}"]
    return [*lines, f'use it:    --bundle {chosen.name}, or bundle = "{chosen.name}" in the configuration']
