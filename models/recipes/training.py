"""The recipes' training loop: runs steps until the budget is used, reports figures, saves checkpoints, resumes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SAVE_EVERY_S = 240
REPORT_STEPS = 50


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, texts) beside `path` and renames it: there whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; nothing in the file is run."""
    return torch.load(path, weights_only=True)


def steps_done(path: Path) -> int:
    """The steps in the checkpoint at `path`, 0 without one.

    For the seed: a resumed run that draws the same numbers again sees the same batches until it knows them by heart.
    """
    return load(path)["state"]["step"] if path.exists() else 0


def warm_cosine(peak: float, *, warm_steps: int, floor: float) -> Callable[[int, float], float]:
    """Learning rate of (step, share of the budget used): a linear rise, then a cosine down to `floor` * peak."""

    def rate(step: int, share: float) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        return peak * min(1.0, (step + 1) / warm_steps) * (floor + (1 - floor) * fall)

    return rate


def within_minutes(minutes: float) -> Callable[[int, float], float]:
    """The share of a budget of computing time, used in all runs together."""
    return lambda _step, used_s: used_s / (minutes * 60)


def within_steps(steps: int) -> Callable[[int, float], float]:
    """The share of a budget of steps."""
    return lambda step, _used_s: step / steps


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    path: Path,
    losses: Callable[[int, float], dict[str, Tensor]],
    *,
    share: Callable[[int, float], float],
    rate: Callable[[int, float], float],
    watch: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Trains until `share` (of steps done and seconds used) reaches 1, going on from `path` if it is there.

    `losses` of the same two numbers gives the parts of the loss, already weighted: their sum is minimised, each is
    reported. A parameter group's `scale`, 1 if it has none, multiplies the learning rate. `watch` is asked for
    figures whenever the state is saved. Everything that decides the rest of the run is in the file.
    """
    state: dict[str, Any] = {"step": 0, "used_s": 0.0}
    if path.exists():
        saved = load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    before, begun, saved_at = state["used_s"], time.monotonic(), time.monotonic()
    recent: list[dict[str, float]] = []
    while (used := share(state["step"], state["used_s"])) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(state["step"], used) * group.get("scale", 1.0)
        parts = losses(state["step"], state["used_s"])
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append({name: part.item() for name, part in parts.items()})
        state = {"step": state["step"] + 1, "used_s": before + time.monotonic() - begun}
        over = share(state["step"], state["used_s"]) >= 1
        if state["step"] % REPORT_STEPS == 0 or over:
            _report(state, recent)
            recent.clear()
        if over or time.monotonic() - saved_at > SAVE_EVERY_S:
            saved_at = time.monotonic()
            save(path, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state})
            if watch:
                print(json.dumps(watch()), flush=True)


def _report(state: dict[str, Any], recent: list[dict[str, float]]) -> None:
    means = {name: round(sum(row[name] for row in recent) / len(recent), 4) for name in recent[-1]}
    print(json.dumps({"step": state["step"], "min": round(state["used_s"] / 60, 1), **means}), flush=True)
