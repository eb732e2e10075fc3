"""Says which of A and B to put on a board, and why, in sentences, from the figures of a report.

The limits below are ours: the fidelity goal of the design, and for backbones what keeps nine of ten tokens the same.
"""

from __future__ import annotations

import math
from typing import Any

from quantize.fidelity import COSINE_TARGET

SAME_TOP_TARGET = 0.9
WORSE_POINTS = 2.0  # a task may lose, beyond what chance does
SPEED_GOAL = 2.0
WORTH = 1.05  # smaller or faster by less is no reason to change


def verdict(result: dict[str, Any]) -> dict[str, Any]:
    """Returns {"better": "A" | "B", "why": [sentences], "meets": {"fidelity", "speed", "tasks"}}."""
    kept, fidelity = _fidelity(result)
    lost, tasks = _tasks(result["tasks"])
    speed = result["speed"]["speed"][1]
    smaller = result["a"]["bytes"] / result["b"]["bytes"]
    gains = [
        f"{speed:.2f} times as fast on one thread",
        f"{100 / smaller:.0f}% of the bytes",
        f"{result['b']['resident_mb']:.0f} instead of {result['a']['resident_mb']:.0f} MB resident",
    ]
    better = kept and not lost and (speed >= WORTH or smaller >= WORTH) and speed * smaller >= 1
    why = [fidelity, *([result["kernels"]] if "kernels" in result else []), "B is " + ", ".join(gains) + "."]
    why.append(tasks if result["tasks"] else "No task was measured (see --tasks): fidelity alone decides here.")
    if not better and kept and not lost:
        why.append("It loses nothing that counts, but gains nothing either: no reason to change.")
    meets = {"fidelity": kept, "speed": speed >= SPEED_GOAL, "tasks": None if not result["tasks"] else not lost}
    return {"better": "B" if better else "A", "why": why, "meets": meets}


def _fidelity(result: dict[str, Any]) -> tuple[bool, str]:
    if "divergence" in result:
        domain, least = min(result["divergence"].items(), key=lambda item: item[1]["same_top"])
        kept = least["same_top"] >= SAME_TOP_TARGET
        return kept, (
            f"On {domain}, where it differs most, {100 * least['same_top']:.1f}% of the likeliest tokens are the same "
            f"({'at least' if kept else 'under'} {100 * SAME_TOP_TARGET:.0f}%), mean KLD {least['kld_mean']:.4f}."
        )
    least = min(
        (out["cosine_mean"], domain, name)
        for domain, found in result["fidelity"].items()
        for name, out in found["outputs"].items()
    )
    kept = least[0] >= COSINE_TARGET
    side = "at least" if kept else "under"
    return kept, f"The least cosine of an output is {least[0]:.4f} ({least[2]}, {least[1]}), {side} {COSINE_TARGET}."


def _tasks(tasks: dict[str, Any]) -> tuple[bool, str]:
    """A loss counts beyond WORSE_POINTS and beyond twice the standard error of a share over so many items.

    Words wrong are no share: one answer that runs on has several times the words of its sentence wrong, so that the
    rate of a sentence has a standard deviation of about one.
    """
    losses = {}
    for name, one in tasks.items():
        sign = 1 if one["higher_is_better"] else -1
        points = sign * (one["b_percent"] - one["a_percent"])
        share = min(1.0, max(0.0, one["a_percent"] / 100))
        variance = max(0.25 / one["items"], share * (1 - share)) if one["higher_is_better"] else 1.0
        noise = 200 * math.sqrt(variance / one["items"])
        if points < -max(WORSE_POINTS, noise):
            losses[name] = points
    changes = ", ".join(f"{n} {one['b_percent'] - one['a_percent']:+.1f}" for n, one in tasks.items())
    if losses:
        return True, f"Tasks get worse by more than chance explains: {', '.join(losses)} (points of B - A: {changes})."
    return False, f"No task gets worse by more than chance explains (points of B - A: {changes})."
