"""Chooses nodes to leave in float: ranks them by the error that each adds alone, then excludes as few as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glasses.errors import ModelError, Reason
from quantize import fidelity, schemes
from quantize.feeds import Feed, Named
from quantize.schemes import Options, Prepared, Tick

RANK_FEEDS = 4  # the order needs fewer inputs than the decision, and every node is tried on each


def rank(
    prepared: Prepared, options: Options, feeds: Sequence[Feed], scratch: Path, tick: Tick = lambda: None
) -> list[tuple[str, float]]:
    """(node, error) worst first: noise over signal of the output when this node alone is quantized."""
    errors = []
    for node in schemes.candidates(prepared.path, options.scheme):
        alone = scratch / "alone.onnx"
        schemes.write(prepared, alone, replace(options, only=node, exclude=()))
        figures = _measure(prepared.path, alone, feeds)
        worst = min(out["snr_db"] for out in figures["feeds"]["outputs"].values())
        errors.append((node, 10 ** (-worst / 10)))
        tick()
    return sorted(errors, key=lambda pair: (-pair[1], pair[0]))


def choose(
    prepared: Prepared,
    options: Options,
    feeds: Sequence[Feed],
    scratch: Path,
    *,
    target: float = fidelity.COSINE_TARGET,
    tick: Tick = lambda: None,
) -> tuple[tuple[str, ...], list[tuple[str, float]]]:
    """Returns (nodes to leave in float, the ranking): the fewest of the worst with which the cosine reaches `target`.

    Found by bisection, for leaving out more never adds error. ModelError(BAD_INPUT) where even all is not enough.
    """
    ranking = rank(prepared, options, feeds[:RANK_FEEDS], scratch, tick)
    names = [name for name, _ in ranking]

    def cosine(count: int) -> float:
        path = scratch / "tried.onnx"
        schemes.write(prepared, path, replace(options, exclude=tuple(names[:count])))
        return fidelity.least_cosine(_measure(prepared.path, path, feeds))

    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cosine(middle) >= target else (middle + 1, high)
    if low == len(names):
        raise ModelError(Reason.BAD_INPUT, f"cosine {target} needs all {low} nodes in float: choose another scheme")
    return tuple(sorted(names[:low])), ranking


def _measure(reference: Path, other: Path, feeds: Sequence[Feed]) -> dict:
    return fidelity.compare(
        reference, other, (Named(str(i), "feeds", feed) for i, feed in enumerate(feeds)), layers=False
    )
