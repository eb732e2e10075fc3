"""Rebuilds or copies an encoder as float32 ONNX and compares it with its source.

Sources: a Whisper model of CTranslate2 (model.bin) or Hugging Face (model.safetensors beside config.json) of any size,
EfficientNet-Lite0's PyTorch weights, or any ONNX file. Parity is measured with the source's own program where that is
installed (ctranslate2, transformers, torch): our graph against theirs, on the same random input.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from glasses.errors import InputError, ModelError, Reason
from glasses.model_store import ctranslate2
from quantize import float32, hugging_face, onnx_file, whisper_encoder

Array = NDArray[np.float32]
MAX_FRAMES = 3000  # 30 s: Whisper's position table, and the only length its own programs take


@dataclass(frozen=True, slots=True)
class Source:
    """`build` gives the float32 graph; `run` what the source's own program makes of an input, None without it."""

    kind: str
    build: Callable[[], onnx.ModelProto]
    inputs: dict[str, Array]
    run: Callable[[Array], Array] | None
    needs: str = ""  # to install, where `run` is None


def source_of(path: Path) -> Source:
    """Tells what `path` is. Raises ModelError(NOT_FOUND), InputError(BAD_INPUT) for anything unknown."""
    if not path.exists():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such file or folder, nor a model in models/manifests")
    file = path
    if path.is_dir():
        found = [path / name for name in ("model.bin", "model.safetensors") if (path / name).is_file()]
        if not found:
            raise InputError(Reason.BAD_INPUT, f"{path}: no model.bin (CTranslate2) or model.safetensors in it")
        file = found[0]
    if file.suffix in _KINDS:
        return _KINDS[file.suffix](file)
    raise InputError(Reason.BAD_INPUT, f"{path}: cannot export {file.suffix or 'this'}; known: {', '.join(_KINDS)}")


def parity(source: Source, built: Path) -> dict[str, Any]:
    """Max and mean difference of the ONNX file from the source's own program, or what is missing to measure it."""
    if source.run is None:
        return {"measured": False, "why": source.needs}
    session = onnxruntime.InferenceSession(str(built), providers=["CPUExecutionProvider"])
    name, value = next(iter(source.inputs.items()))
    ours = np.asarray(session.run(None, {name: value.astype(_dtype(session.get_inputs()[0].type))})[0])
    theirs = np.asarray(source.run(value)).astype(np.float32)
    gap = np.abs(ours.reshape(-1, ours.shape[-1])[:, : theirs.shape[-1]] - theirs.reshape(-1, theirs.shape[-1]))
    scale = float(np.abs(theirs).mean())
    return {
        "measured": True,
        "max_difference": float(gap.max()),
        "mean_difference": float(gap.mean()),
        "mean_size": scale,
    }


def with_dynamic_axes(model: onnx.ModelProto, axes: dict[tuple[str, int], str], path: Path) -> onnx.ModelProto:
    """Names axes of the inputs instead of fixing them. Raises InputError(BAD_INPUT) for no such input or axis."""
    known = {one.name: one for one in model.graph.input}
    for (name, axis), label in axes.items():
        dims = known[name].type.tensor_type.shape.dim if name in known else []
        if not 0 <= axis < len(dims):
            raise InputError(Reason.BAD_INPUT, f"{path}: no axis {axis} of an input {name!r}; it takes {sorted(known)}")
        dims[axis].dim_param = label
    del model.graph.value_info[:]
    for output in model.graph.output:  # what follows from an input's axis is inferred anew
        output.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: these axes cannot be dynamic here: {error}") from error


def check_runs(built: Path, lengths: tuple[int, ...] = (2, 3)) -> list[dict[str, Any]]:
    """Runs the file at two lengths of every dynamic axis; the shapes that came out.

    Raises ModelError(BAD_INPUT) where a length does not run.
    """
    session = onnxruntime.InferenceSession(str(built), providers=["CPUExecutionProvider"])
    rng, shapes = np.random.default_rng(0), []
    for length in lengths:
        feed = {
            one.name: rng.standard_normal([d if isinstance(d, int) else 2 * length for d in one.shape]).astype(
                _dtype(one.type)
            )
            for one in session.get_inputs()
        }
        try:
            found = session.run(None, feed)
        except Exception as error:  # onnxruntime's own classes
            raise ModelError(Reason.BAD_INPUT, f"{built}: does not run with axes of {2 * length}: {error}") from error
        outputs = {
            one.name: list(np.asarray(value).shape) for one, value in zip(session.get_outputs(), found, strict=True)
        }
        shapes.append({"inputs": {name: list(value.shape) for name, value in feed.items()}, "outputs": outputs})
    return shapes


def _dtype(kind: str) -> str:
    """numpy's name of onnxruntime's `tensor(float)`."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _mel(n_mels: int) -> dict[str, Array]:
    return {"mel": np.random.default_rng(0).standard_normal((1, n_mels, MAX_FRAMES)).astype(np.float32)}


def _ctranslate2(file: Path) -> Source:
    weights = ctranslate2.read_tensors(file)
    if "encoder/conv1/weight" not in weights:
        raise ModelError(Reason.BAD_INPUT, f"{file}: a CTranslate2 model, but no Whisper")
    found = importlib.util.find_spec("ctranslate2")

    def run(mel: Array) -> Array:
        program: Any = importlib.import_module("ctranslate2")  # optional and heavy
        whisper = program.models.Whisper(str(file.parent), device="cpu", compute_type="float32", intra_threads=1)
        return np.array(whisper.encode(program.StorageView.from_array(mel)).to_device(program.Device.cpu))

    can = run if found and (file.parent / "config.json").is_file() else None
    needs = "the extra `baseline` (ctranslate2) and config.json beside model.bin"
    n_mels = weights["encoder/conv1/weight"].shape[1]
    return Source("whisper, CTranslate2", lambda: whisper_encoder.build(weights), _mel(n_mels), can, needs)


def _hugging_face(file: Path) -> Source:
    weights = hugging_face.whisper_tensors(file)
    run = hugging_face.encoder(file.parent) if importlib.util.find_spec("transformers") else None
    n_mels = weights["encoder/conv1/weight"].shape[1]
    build = lambda: whisper_encoder.build(weights)  # noqa: E731
    return Source("whisper, Hugging Face", build, _mel(n_mels), run, "the extra `train` (transformers)")


def _torch(file: Path) -> Source:
    if not importlib.util.find_spec("torch"):
        raise ModelError(Reason.NOT_INSTALLED, f"{file}: PyTorch weights are read with torch: install the extra train")
    from quantize import image_encoder, image_reference  # noqa: PLC0415  (they import torch, which is optional)

    weights = image_encoder.load_weights(file)
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
    return Source(
        "EfficientNet-Lite0, PyTorch",
        lambda: image_encoder.build(weights),
        {"pixels": pixels},
        lambda value: image_reference.features(weights, value),
    )


def _onnx(file: Path) -> Source:
    model = onnx_file.load(file)
    shapes = onnx_file.inputs(model)
    rng = np.random.default_rng(0)
    values = {
        name: rng.standard_normal([d if isinstance(d, int) and d else 16 for d in dims]).astype(np.float32)
        for name, dims in shapes.items()
    }
    whole = model.SerializeToString()  # with the weights that lie beside the file

    def run(value: Array) -> Array:
        session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        return np.asarray(session.run(None, {given.name: value.astype(_dtype(given.type))})[0])

    changed = "" if onnx_file.is_quantized(model) else "; ".join(float32.convert(model))
    kind = f"ONNX ({changed})" if changed else "ONNX"
    return Source(kind, lambda: model, values, run if len(values) == 1 else None, "a model of one input")


_KINDS: dict[str, Callable[[Path], Source]] = {
    ".bin": _ctranslate2,
    ".safetensors": _hugging_face,
    ".pth": _torch,
    ".onnx": _onnx,
}
