"""Reads the tensors of an ONNX model that lie in files beside it, and refuses what such a file must not be.

A model may keep its weights in other files, named relative to its own folder (onnx.proto: TensorProto.external_data).
Who made the model chose those names, so a name that leaves the folder is refused, and nothing is allocated before it is
known that the bytes are there and as many as the tensor's shape needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx import TensorProto, helper

from glasses.errors import ModelError, Reason

MAX_BYTES = 2 << 30  # of all tensors together: protobuf's own limit for one message, which the model becomes


def files_of(model: onnx.ModelProto, path: Path) -> list[Path]:
    """The files beside `path` that tensors of `model` lie in, each once. Raises as `embed`, but reads none of them."""
    return list(dict.fromkeys(_file(tensor, path) for tensor in tensors(model) if _is_external(tensor)))


def embed(model: onnx.ModelProto, path: Path) -> None:
    """Reads the tensors of `model`, which was read from `path`, that lie in other files into the model itself.

    Raises ModelError: NOT_FOUND (no such file), CORRUPT (too short, a length that does not fit the shape), BAD_INPUT
    (a name that leaves the folder), TOO_LARGE.
    """
    total = 0
    for tensor in tensors(model):
        if not _is_external(tensor):
            continue
        file, entries = _file(tensor, path), _entries(tensor)
        n_bytes = _size(tensor, path)
        total += n_bytes
        if total > MAX_BYTES:
            raise ModelError(Reason.TOO_LARGE, f"{path}: its weights are over {MAX_BYTES >> 30} GiB")
        offset, length = (_number(entries, key, default, path) for key, default in (("offset", 0), ("length", n_bytes)))
        if length != n_bytes:
            raise ModelError(
                Reason.CORRUPT, f"{path}: tensor {tensor.name} needs {n_bytes:,} bytes, its entry says {length:,}"
            )
        with file.open("rb") as stream:
            there = file.stat().st_size
            if offset + length > there:
                raise ModelError(
                    Reason.CORRUPT,
                    f"{file} is cut short: {there:,} bytes, but tensor {tensor.name} of {path.name} lies at "
                    f"{offset:,} to {offset + length:,}; copy or pull it again",
                )
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: of the graph, its subgraphs, its nodes' attributes and the model's functions."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every graph inside a node, at any depth."""
    yield model.graph
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node: of the graph, of graphs inside nodes, of the model's functions."""
    waiting: list[Iterable[onnx.NodeProto]] = [model.graph.node, *(one.node for one in model.functions)]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting += [
                    one.node for one in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
                ]


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _number(entries: dict[str, str], key: str, default: int, path: Path) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ModelError(Reason.CORRUPT, f"{path}: {key} of external data is {text[:40]!r}, not a number of bytes")
    return int(text)


def _size(tensor: TensorProto, path: Path) -> int:
    """Bytes of a tensor, by its shape and type."""
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: tensor {tensor.name} has an unknown type") from error
    count = math.prod(tensor.dims)
    if kind.kind in "OSU" or any(one < 0 for one in tensor.dims) or kind.itemsize * count > MAX_BYTES:
        raise ModelError(Reason.CORRUPT, f"{path}: tensor {tensor.name} of shape {list(tensor.dims)[:8]} is no weight")
    bits = 4 if TensorProto.DataType.Name(tensor.data_type) in ("INT4", "UINT4", "FLOAT4E2M1") else 8 * kind.itemsize
    return -(-count * bits // 8)


def _file(tensor: TensorProto, path: Path) -> Path:
    """The file that `tensor` lies in. The Hugging Face cache links both files of a model to one other folder."""
    location = _entries(tensor).get("location", "")
    plain, foreign = PurePosixPath(location), PureWindowsPath(location)
    if not location or "\0" in location or plain.is_absolute() or foreign.drive or ".." in foreign.parts:
        raise ModelError(
            Reason.BAD_INPUT, f"{path}: its weights are said to lie in {location!r}, outside of the model's folder"
        )
    file = path.parent / plain
    if not file.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path} keeps its weights in {location!r}: {file} is not there")
    real = file.resolve()
    if not real.is_relative_to(path.parent.resolve()) and real.parent != path.resolve().parent:
        raise ModelError(Reason.BAD_INPUT, f"{path}: its weights {location!r} are a link to {real}, outside its folder")
    return file
