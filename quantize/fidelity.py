"""Compares the outputs and inner tensors of two ONNX models.

For each domain (speech, sounds, pictures) it gives the cosine and signal-to-noise ratio of each output, the rows that
lost most, and the same for every inner tensor with the same name in both graphs. It keeps sums, not activations.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from glasses.errors import InputError, ModelError, Reason
from quantize import onnx_file
from quantize.feeds import Named

COSINE_TARGET = 0.99
N_WORST = 5
# Inner tensors worth a point in the plot: the results of what computes, not of what reshapes.
LAYERS = frozenset(
    {"Conv", "MatMul", "Gemm", "Add", "LayerNormalization", "Gelu", "Clip", "Softmax", "Tanh", "Concat", "Mean"}
)


@dataclass(slots=True)
class Difference:
    """Running sums over (reference, other) pairs of one tensor."""

    dot: float = 0.0
    signal: float = 0.0
    other: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    total: float = 0.0
    count: int = 0
    per_file: list[float] = field(default_factory=list)
    worst: list[tuple[float, str, int]] = field(default_factory=list)  # (-cosine, file, row), a heap of the worst rows

    def add(self, reference: NDArray[Any], other: NDArray[Any], file: str) -> None:
        """Adds one pair of the same shape, rows along the last axis."""
        a = reference.astype(np.float64).reshape(-1, reference.shape[-1] if reference.ndim else 1)
        b = other.astype(np.float64).reshape(a.shape)
        dots, signals, others = (a * b).sum(1), (a * a).sum(1), (b * b).sum(1)
        self.dot += float(dots.sum())
        self.signal += float(signals.sum())
        self.other += float(others.sum())
        gap = np.abs(a - b)
        self.noise += float((gap * gap).sum())
        self.largest = max(self.largest, float(gap.max()))
        self.total += float(gap.sum())
        self.count += gap.size
        self.per_file.append(_cosine(dots.sum(), signals.sum(), others.sum()))
        rows = np.array([_cosine(*one) for one in zip(dots, signals, others, strict=True)])
        for row in np.argsort(rows)[:N_WORST]:
            push = heapq.heappush if len(self.worst) < N_WORST else heapq.heappushpop
            push(self.worst, (-float(rows[row]), file, int(row)))

    def figures(self) -> dict[str, Any]:
        """What the report shows of this tensor."""
        return {
            "cosine": _cosine(self.dot, self.signal, self.other),
            "cosine_mean": float(np.mean(self.per_file)),
            "cosine_least": float(np.min(self.per_file)),
            "snr_db": snr_db(self.signal, self.noise),
            "max_difference": self.largest,
            "mean_difference": self.total / max(1, self.count),
            "worst_rows": [
                {"file": file, "row": row, "cosine": -cosine} for cosine, file, row in sorted(self.worst, reverse=True)
            ],
        }


def _cosine(dot: float, signal: float, other: float) -> float:
    """Two zero vectors are alike; a zero vector is like no other."""
    if signal == 0 or other == 0:
        return float(signal == other)
    return float(dot / np.sqrt(signal * other))


def snr_db(signal: float, noise: float) -> float:
    """Signal-to-noise ratio in decibels, at most 200 (identical)."""
    return float(min(200.0, 10 * np.log10(signal / noise))) if noise > 0 and signal > 0 else 200.0


def compare(
    reference: Path,
    other: Path,
    feeds: Iterable[Named],
    *,
    layers: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Returns {domain: {"files", "outputs": {name: figures}, "layers": [{"name", "op", figures...}]}}.

    Raises ModelError(BAD_INPUT) where the two models are no pair or give no floats, InputError(BAD_INPUT) where a feed
    does not fit or none came.
    """
    models = [onnx_file.load(reference), onnx_file.load(other)]
    onnx_file.check_pair(models, (reference, other))
    outputs = [one.name for one in models[0].graph.output]  # before the sessions add the inner ones
    inner = _shared_layers(models) if layers else {}
    sessions = [_tapped(model, list(inner), path) for model, path in zip(models, (reference, other), strict=True)]
    names = outputs + [name for name in inner if name not in outputs]
    sums: dict[str, dict[str, Difference]] = {}
    for named in feeds:
        results = [_run(session, names, named) for session in sessions]
        domain = sums.setdefault(named.domain, {name: Difference() for name in names})
        for name, a, b in zip(names, *results, strict=True):
            if a.shape != b.shape and name not in outputs:
                continue  # names that stand for other things in the two graphs
            if a.shape != b.shape:
                raise ModelError(Reason.BAD_INPUT, f"{name} is {a.shape} in {reference}, {b.shape} in {other}")
            if a.dtype.kind == "f" and a.size:
                domain[name].add(a, b, named.file)
        tick()
    if not sums:
        raise InputError(Reason.BAD_INPUT, f"nothing to compare {other.name} on: no item is long enough for an input")
    figures = {domain: _figures(found, outputs, inner) for domain, found in sums.items()}
    if not all(one["outputs"] for one in figures.values()):
        raise ModelError(Reason.BAD_INPUT, f"{reference}: none of {', '.join(outputs)} holds floats to compare")
    return figures


def _figures(found: dict[str, Difference], outputs: list[str], inner: dict[str, str]) -> dict[str, Any]:
    measured = {name: difference for name, difference in found.items() if difference.count}
    return {
        "files": max((len(one.per_file) for one in measured.values()), default=0),
        "outputs": {name: measured[name].figures() for name in outputs if name in measured},
        "layers": [{"name": name, "op": inner[name], **measured[name].figures()} for name in inner if name in measured],
    }


def _shared_layers(models: list[onnx.ModelProto]) -> dict[str, str]:
    """Tensor -> operator of the reference, for tensors that both graphs have, in the reference's order."""
    theirs = {output for node in models[1].graph.node for output in node.output}
    return {
        node.output[0]: node.op_type
        for node in models[0].graph.node
        if node.op_type in LAYERS and node.output[0] in theirs
    }


def _tapped(model: onnx.ModelProto, names: list[str], path: Path) -> onnxruntime.InferenceSession:
    """A session that also gives the inner tensors `names`."""
    known = {one.name for one in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes
        raise ModelError(Reason.CORRUPT, f"{path}: onnxruntime cannot load it ({error})") from error


def _run(session: onnxruntime.InferenceSession, names: list[str], named: Named) -> list[NDArray[Any]]:
    try:
        return [np.asarray(out) for out in session.run(names, named.feed)]
    except Exception as error:  # onnxruntime's own classes, for a feed of another shape or type
        raise InputError(Reason.BAD_INPUT, f"{named.file} does not fit the model: {error}") from error


def least_cosine(figures: dict[str, Any]) -> float:
    """The worst mean cosine of any output over all domains: what a fidelity target is held against."""
    return min(out["cosine_mean"] for domain in figures.values() for out in domain["outputs"].values())
