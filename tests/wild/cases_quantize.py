"""Models from elsewhere, and what `quantize` must see before it begins: kinds 6, 17, 21, 28."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.wild.case import Case

WIDTH = 64
LINE = ("--scheme", "dynamic-int8", "--data", "data", "--out", "made.onnx")
_MET = r"rc 0.*cosine 0.99: met"


def _quantize(folder: Path, *argv: str | Path) -> str:
    """`rc N`, then stdout and stderr, of `quantize` in this process, started in `folder`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            from quantize.__main__ import main  # noqa: PLC0415  # ends the process without the extra quantize

            code: object = main([str(word) for word in argv])
        except SystemExit as ended:  # argparse
            code = ended.code
    return f"rc {code}\n{out.getvalue()}{err.getvalue()}"


def _onnx() -> Any:
    """The package, which only the extra quantize brings."""
    return importlib.import_module("onnx")


def _weights() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple((0.1 * rng.standard_normal((WIDTH, WIDTH))).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


def _save(folder: Path, nodes: list[Any], tensors: list[Any], kind: int = 1) -> Path:
    """A model `x` (n, WIDTH) -> `y` of these nodes in folder/model, and inputs to compare on in folder/data."""
    onnx = _onnx()
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, kind, ["n", WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    path = folder / "model" / "a.onnx"
    path.parent.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    (folder / "data").mkdir()
    np.savez(folder / "data" / "0.npz", x=np.random.default_rng(1).standard_normal((4, WIDTH)).astype(np.float32))
    return path


def _network(folder: Path, how: str) -> Path:
    """x @ a @ b, with a weight in one of the forms in which exporters write it."""
    onnx = _onnx()
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    a, b = _weights()
    product = helper.make_node("MatMul", ["t", "b"], ["y"], "second")
    stored = [numpy_helper.from_array(b, "b")]
    first = helper.make_node("MatMul", ["x", "a"], ["t"], "first")
    match how:
        case "half" | "double":
            kind = {"half": np.float16, "double": np.float64}[how]
            tensors = [numpy_helper.from_array(value.astype(kind), name) for name, value in (("a", a), ("b", b))]
            return _save(folder, [first, product], tensors, helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
        case "constant":
            made = helper.make_node("Constant", [], ["a"], value=numpy_helper.from_array(a, "value"))
        case "cast":
            stored.append(numpy_helper.from_array(a.astype(np.float16), "half"))
            made = helper.make_node("Cast", ["half"], ["a"], to=onnx.TensorProto.FLOAT)
        case "transpose":
            stored.append(numpy_helper.from_array(np.ascontiguousarray(a.T), "turned"))
            made = helper.make_node("Transpose", ["turned"], ["a"], perm=[1, 0])
        case _:  # torch's Linear
            stored += [numpy_helper.from_array(a, "a"), numpy_helper.from_array(a[0], "bias")]
            first = helper.make_node("Gemm", ["x", "a", "bias"], ["t"], "first", transB=1)
            return _save(folder, [first, product], stored)
    return _save(folder, [made, first, product], stored)


def _external(folder: Path, location: str, n_bytes: int = 4 * WIDTH * WIDTH, offset: str = "0") -> Path:
    """x @ a, with `a` in the file `location` beside the model, of which `n_bytes` are there."""
    onnx = _onnx()
    tensor = onnx.TensorProto(name="a", data_type=onnx.TensorProto.FLOAT, dims=[WIDTH, WIDTH])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", str(4 * WIDTH * WIDTH))):
        tensor.external_data.add(key=key, value=value)
    path = _save(folder, [onnx.helper.make_node("MatMul", ["x", "a"], ["y"], "first")], [tensor])
    if n_bytes:
        (path.parent / location).write_bytes(_weights()[0].tobytes()[:n_bytes])
    return path


def _encoded(build: Callable[[Path], Path], folder: Path) -> str:
    return _quantize(folder, "encoder", build(folder), *LINE)


def _linked_outside(folder: Path) -> Path:
    (folder / "secret").write_bytes(_weights()[0].tobytes())
    path = _external(folder, "ext.bin", 0)
    (path.parent / "ext.bin").symlink_to(folder / "secret")
    return path


def _as_in_the_hub_cache(folder: Path) -> Path:
    """model.onnx and its data are both links into the folder `blobs`."""
    path = _external(folder, "ext.bin")
    (folder / "blobs").mkdir()
    for each in path.parent.iterdir():
        each.rename(folder / "blobs" / f"{each.suffix[1:]}-hash")
        each.symlink_to(folder / "blobs" / f"{each.suffix[1:]}-hash")
    return path


def _over_itself(folder: Path, out: str, *, verb: str = "encoder") -> str:
    """Quantizes to `out`, which is the source or leads to it, then says whether the source is whole."""
    source = _external(folder, "ext.bin") if out.endswith("bin") else _network(folder, "gemm")
    before = source.read_bytes()
    if out.startswith("hard"):
        os.link(source, folder / out)
    elif out.startswith("soft"):
        (folder / out).symlink_to(source)
    options = ("--scheme", "dynamic-int8", "--data", "data") if verb == "encoder" else ()
    came = _quantize(folder, verb, source, *options, "--out", out)
    return f"{came}{'whole' if source.read_bytes() == before else 'GONE'}"


def _backbone_over_itself(folder: Path, link: Callable[[Path, Path], None] | None = None) -> str:
    import gguf  # noqa: PLC0415

    writer = gguf.GGUFWriter(folder / "a.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if link:
        link(folder / "a.gguf", folder / "b.gguf")
    return _quantize(folder, "backbone", "a.gguf", "--type", "Q8_0", "--out", "b.gguf" if link else "a.gguf")


def _refused(*argv: str, folder: Path) -> str:
    """Where nothing is made, `nothing made` follows what came."""
    _network(folder, "gemm")
    before = sorted(folder.rglob("*"))
    came = _quantize(folder, *argv)
    return came + ("nothing made" if sorted(folder.rglob("*")) == before else "SOMETHING MADE")


def _printed_line(folder: Path) -> str:
    """The two lines of the README: export, then quantize."""
    exported = _quantize(folder, "export", "whisper-tiny-en-ct2", "--to", "onnx", "--out", "whisper.onnx")
    line = ("whisper.onnx", "--scheme", "dynamic-int8", "--out", "whisper-int8.onnx")
    return exported + _quantize(folder, "encoder", *line)


def _case(kind: int, name: str, right: str, came: Callable[[Path], str], *, listed: bool = False) -> Case:
    return Case(kind, name, right, came, is_listed=listed, marks=("quantize",))


def _form(how: str) -> Callable[[Path], str]:
    return functools.partial(_encoded, lambda folder: _network(folder, how))


def _beside(*args: Any) -> Callable[[Path], str]:
    return functools.partial(_encoded, lambda folder: _external(folder, *args))


_TABLE = functools.partial(_refused, "table", "--out", "t", "--image-float", "nosuch.onnx")
_IMATRIX = functools.partial(_refused, "imatrix", "smollm2-135m-instruct-q4_1", "--text", "no.txt", "--latents")
_DATA = functools.partial(_refused, "encoder", "model/a.onnx", "--scheme", "fp16", "--data", "nosuch")
_HTML = functools.partial(_refused, "report", "model/a.onnx", "model/a.onnx", "--html", "model/a.onnx/x/r.html")
_DEVICE = functools.partial(_refused, "export", "model/a.onnx", "--out", "/dev/null")
_HELD = r"rc 2.*is what is read here.*whole"

CASES = [
    _case(6, "quantize table without its image encoder", r"^rc 2\nquantize table: nosuch.onnx: no such file\nnothing",
          lambda folder: _TABLE(folder=folder), listed=True),
    _case(6, "quantize imatrix without its text", r"^rc 2\n[^\n]*no.txt: no such text file\nnothing made",
          lambda folder: _IMATRIX(folder=folder)),
    _case(6, "quantize encoder without its data", r"^rc 2\n[^\n]*nosuch: no such folder[^\n]*\nnothing made",
          lambda folder: _DATA(folder=folder)),
    _case(6, "quantize report to where no folder can be", r"^rc 2\n[^\n]*cannot write[^\n]*\nnothing made",
          lambda folder: _HTML(folder=folder)),
    _case(17, "external.onnx from another folder", _MET, _beside("ext.bin"), listed=True),
    _case(17, "half.onnx: float16 weights and inputs", _MET, _form("half"), listed=True),
    _case(17, "cast.onnx: float16 weights behind a Cast", _MET, _form("cast"), listed=True),
    _case(17, "constant.onnx: a weight as a node", _MET, _form("constant"), listed=True),
    _case(17, "a float64 model", _MET, _form("double")),
    _case(17, "a weight stored transposed", _MET, _form("transpose")),
    _case(17, "torch's Linear, a Gemm", _MET, _form("gemm")),
    _case(17, "external data as the Hugging Face cache links it", _MET,
          functools.partial(_encoded, _as_in_the_hub_cache)),
    _case(17, "external data named up and out", r"rc 2.*'\.\./ext\.bin', outside", _beside("../ext.bin")),
    _case(17, "external data named by an absolute path", r"rc 2.*'/etc/hostname', outside",
          _beside("/etc/hostname", 0)),
    _case(17, "external data that is a link out of the folder", r"rc 2.*'ext\.bin' are a link to .*outside",
          functools.partial(_encoded, _linked_outside)),
    _case(17, "external data that is not there", r"rc 2.*weights in 'ext\.bin'.*is not there", _beside("ext.bin", 0)),
    _case(17, "external data cut short", r"rc 2.*ext\.bin is cut short: 8,000.*tensor a", _beside("ext.bin", 8000)),
    _case(17, "external data at no offset", r"rc 2.*offset of external data is '-4'", _beside("ext.bin", 16384, "-4")),
    _case(21, "quantize backbone over its own source", r"^rc 2\n[^\n]*a.gguf is what is read here[^\n]*\n$",
          _backbone_over_itself, listed=True),
    _case(21, "quantize backbone over a hard link of its source", r"^rc 2\n[^\n]*is what is read here, under the name",
          lambda folder: _backbone_over_itself(folder, os.link)),
    _case(21, "quantize backbone over a link to its source", r"^rc 2\n[^\n]*is what is read here, under the name",
          lambda folder: _backbone_over_itself(folder, os.symlink)),
    _case(21, "quantize encoder over its source", _HELD, lambda folder: _over_itself(folder, "model/a.onnx")),
    _case(21, "quantize encoder over a hard link", _HELD, lambda folder: _over_itself(folder, "hard.onnx")),
    _case(21, "quantize encoder over its weights", _HELD, lambda folder: _over_itself(folder, "model/ext.bin")),
    _case(21, "quantize export over a link to its source", _HELD,
          lambda folder: _over_itself(folder, "soft.onnx", verb="export")),
    _case(21, "quantize export to /dev/null", r"rc 2.*no regular file.*nothing made",
          lambda folder: _DEVICE(folder=folder)),
    _case(28, "quantize encoder as the README prints it", r"whisper\.onnx: 32.*rc 0.*cosine 0\.99: met", _printed_line,
          listed=True),
]  # fmt: skip
