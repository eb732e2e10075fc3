"""Schemes, calibration, exclusion and errors of `quantize encoder`, on small real ONNX models made here."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")
pytest.importorskip("onnx_ir")

from glasses.errors import GlassesError, Reason  # noqa: E402
from quantize import exclusion, feeds, fidelity, files, onnx_file, schemes, unpack  # noqa: E402
from quantize.__main__ import main  # noqa: E402
from quantize.feeds import Named  # noqa: E402
from quantize.graph import Graph  # noqa: E402
from quantize.schemes import Options  # noqa: E402

pytestmark = [
    pytest.mark.quantize,
    pytest.mark.filterwarnings("ignore"),  # of onnxruntime's tools, which warn of their own next version
]
WIDTH = 64


def network(path: Path, *, outlier: bool = False, seed: int = 0, width: int = WIDTH) -> Path:
    """Two layers over rows of `width`; with `outlier` the second has one weight that ruins a scale."""
    rng = np.random.default_rng(seed)
    first, second = (rng.standard_normal((width, width)) / 8 for _ in range(2))
    if outlier:
        second[:, 0] *= 3000  # of activations that the first layer makes small
        first[0, :] /= 3000
    bias = rng.standard_normal(width) / 8
    bias[0] = 0
    graph = Graph()
    hidden = graph.op("Tanh", graph.linear("x", "first", first, bias))
    graph.linear(hidden, "second", second, np.zeros(width), output="y")
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n", width]) for name in ("x", "y")]
    onnx.save(graph.model("tiny", [values[0]], [values[1]], space="kept"), path)
    return path


def convolutions(path: Path) -> Path:
    """Two convolutions over pictures of 3 x 16 x 16."""
    rng = np.random.default_rng(0)
    graph = Graph()
    one = graph.const("one.w", rng.standard_normal((8, 3, 3, 3)) / 5)
    two = graph.const("two.w", rng.standard_normal((8, 8, 3, 3)) / 8)
    hidden = graph.op("Relu", graph.op("Conv", "x", one, pads=[1, 1, 1, 1]))
    graph.op("Conv", hidden, two, pads=[1, 1, 1, 1], name="y")
    given = onnx.helper.make_tensor_value_info("x", 1, [1, 3, 16, 16])
    made = onnx.helper.make_tensor_value_info("y", 1, [1, 8, 16, 16])
    onnx.save(graph.model("convolutions", [given], [made]), path)
    return path


def arrays(folder: Path, shape: tuple[int, ...] = (5, WIDTH), n: int = 4) -> Path:
    """A folder of .npz inputs."""
    folder.mkdir(exist_ok=True)
    for i in range(n):
        np.savez(folder / f"{i}.npz", x=np.random.default_rng(i).standard_normal(shape).astype(np.float32))
    return folder


def quantized(source: Path, out: Path, options: Options, data: Path) -> Path:
    role = feeds.role_of(onnx_file.load(source))
    with files.whole(out) as part:
        prepared = schemes.prepare(source, part.parent, options, feeds.calibration(role, data))
        schemes.write(prepared, part, options)
    return out


SCHEMES = [
    ("dynamic-int8", network, (5, WIDTH), 0.995),
    ("int8-weight-only", network, (5, WIDTH), 0.995),
    ("fp16", network, (5, WIDTH), 0.9999),
    ("static-qdq", network, (5, WIDTH), 0.99),
    ("static-qdq", convolutions, (1, 3, 16, 16), 0.99),
    ("int8-weight-only", convolutions, (1, 3, 16, 16), 0.999),
    ("fp16", convolutions, (1, 3, 16, 16), 0.9999),
]


@pytest.mark.parametrize(("scheme", "make", "shape", "least"), SCHEMES)
def test_quantize_encoder_scheme_keeps_the_output_and_repeats_its_bytes(tmp_path, scheme, make, shape, least) -> None:
    source, data = make(tmp_path / "float.onnx"), arrays(tmp_path / "data", shape)
    made = [quantized(source, tmp_path / f"{i}.onnx", Options(scheme), data) for i in range(2)]
    assert made[0].read_bytes() == made[1].read_bytes()
    role = feeds.role_of(onnx_file.load(source))
    held = feeds.held_out(role, folder=arrays(tmp_path / "held", shape, n=2))
    lost = fidelity.compare(source, made[0], held)
    assert least <= fidelity.least_cosine(lost) < 1.0
    assert lost["held"]["layers"], "layers of the same name are compared"
    metadata = {one.key: one.value for one in onnx_file.load(made[0]).metadata_props}
    assert json.loads(metadata["quantization"])["scheme"] == scheme
    if make is network:
        assert metadata["space"] == "kept"


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_quantize_encoder_every_calibration_method_gives_ranges(tmp_path, method) -> None:
    source, data = network(tmp_path / "float.onnx"), arrays(tmp_path / "data")
    made = quantized(source, tmp_path / "int8.onnx", Options("static-qdq", method=method), data)
    kinds = [node.op_type for node in onnx_file.load(made).graph.node]
    assert "QuantizeLinear" in kinds
    assert "DequantizeLinear" in kinds


def test_calibration_inputs_are_read_one_at_a_time(tmp_path, monkeypatch) -> None:
    source, data = network(tmp_path / "float.onnx"), arrays(tmp_path / "data", n=5)
    log: list[str] = []
    collect = schemes._Stream.get_next

    def reading() -> Iterator[feeds.Feed]:
        for feed in feeds.calibration(feeds.role_of(onnx_file.load(source)), data):
            log.append("read")
            yield feed

    monkeypatch.setattr(schemes._Stream, "get_next", lambda self: log.append("used") or collect(self))
    schemes.prepare(source, tmp_path, Options("static-qdq"), reading())
    assert log[:6] == ["read", "used", "used"] * 2  # the second "used" finds that there is no more


def test_auto_exclude_leaves_the_worst_node_in_float(tmp_path) -> None:
    source = network(tmp_path / "float.onnx", outlier=True)
    role = feeds.role_of(onnx_file.load(source))
    few = list(feeds.calibration(role, arrays(tmp_path / "data")))
    options = Options("dynamic-int8")
    prepared = schemes.prepare(source, tmp_path, options, ())
    excluded, ranking = exclusion.choose(prepared, options, few, tmp_path, target=0.99)
    assert ranking[0][1] > ranking[1][1]
    assert excluded == tuple(sorted(name for name, _ in ranking[: len(excluded)]))
    assert 0 < len(excluded) < len(ranking)


def test_unpack_of_an_int8_connector_gives_what_it_multiplies(tmp_path) -> None:
    source, data = network(tmp_path / "float.onnx"), arrays(tmp_path / "data")
    made = quantized(source, tmp_path / "int8.onnx", Options("dynamic-int8"), data)
    back = unpack.to_float(onnx_file.load(made), tmp_path / "back.onnx")
    assert not onnx_file.is_quantized(onnx_file.load(back))
    named = [Named("0", "d", {"x": np.load(data / "0.npz")["x"]})]
    assert fidelity.least_cosine(fidelity.compare(source, back, named)) > 0.9995


def test_difference_of_known_arrays_gives_the_computed_figures() -> None:
    one = fidelity.Difference()
    one.add(np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]), "a")
    found = one.figures()
    assert found["cosine"] == pytest.approx(25 / 26)
    assert found["snr_db"] == pytest.approx(10 * np.log10(26 / 2))
    assert found["max_difference"] == 1.0
    assert found["worst_rows"][0] == {"file": "a", "row": 1, "cosine": 0.0}


def broken(tmp_path: Path, what: str) -> list[str]:
    """Arguments of `quantize encoder` with one thing wrong."""
    source, data = network(tmp_path / "float.onnx"), arrays(tmp_path / "data")
    scheme = ["--scheme", "static-qdq", "--calibration", str(data)]
    if what == "cut":
        source.write_bytes(source.read_bytes()[:-5000])
    elif what == "not onnx":
        source.write_bytes(b"\x00" * 4096)
    elif what == "opset":
        model = onnx.load(source)
        model.opset_import[0].version = 9
        source.write_bytes(model.SerializeToString())
    elif what == "kind":
        (data / "0.npz").rename(tmp_path / "0.wav")
        scheme[-1] = str(tmp_path / "sound")
        (tmp_path / "sound").mkdir()
        (tmp_path / "0.wav").rename(tmp_path / "sound" / "0.wav")
    elif what == "shape":
        scheme[-1] = str(arrays(tmp_path / "wide", (5, WIDTH + 1)))
    elif what == "names":
        np.savez(data / "0.npz", other=np.zeros(3, np.float32))
    elif what == "node":
        scheme += ["--exclude", "nowhere"]
    elif what.startswith("--"):
        scheme += what.split()
    elif what == "integers":
        model = onnx.load(source)
        model.graph.node.append(onnx.helper.make_node("ArgMax", ["y"], ["most"], axis=1))
        model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("most", 7, ["n", 1]))
        onnx.save(model, source)
    elif what == "twice":
        source = quantized(source, tmp_path / "int8.onnx", Options("dynamic-int8"), data)
    return ["encoder", str(source), *scheme, "--data", str(data), "--out", str(tmp_path / "out" / "made.onnx")]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("cut", "damaged or not ONNX"),
        ("not onnx", "not ONNX"),
        ("opset", "opset 9; quantization needs 13"),
        ("kind", "calibrated with arrays files (.npz), here are .wav"),
        ("shape", "calibration data does not fit"),
        ("names", "needs one array for each of x"),
        ("node", "no node nowhere; nodes are called e.g. matmul_0"),
        ("twice", "is quantized already"),
        ("--limit -3", "--limit -3: at least 1"),
        ("--samples 0", "--samples 0: at least 1"),
        ("--target 7", "--target 7.0: a cosine above 0 and at most 1"),
        ("--target nan", "--target nan: a cosine"),
        ("integers", "none of most holds floats"),
    ],
)
def test_quantize_encoder_wrong_input_is_refused_and_leaves_nothing(tmp_path, capsys, what, says) -> None:
    assert main(broken(tmp_path, what)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_quantize_encoder_on_a_full_disk_leaves_nothing(tmp_path) -> None:
    arguments = broken(tmp_path, "nothing")
    done = subprocess.run(
        [sys.executable, "-m", "quantize", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )
    assert done.returncode == 2, done.stderr
    assert "is full" in done.stderr
    assert not (tmp_path / "out").exists()


def test_whole_file_interrupted_write_leaves_nothing(tmp_path) -> None:
    def write() -> None:
        with files.whole(tmp_path / "model.onnx") as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not list(tmp_path.iterdir())


def test_quantize_encoder_prints_what_was_lost(tmp_path, capsys) -> None:
    arguments = broken(tmp_path, "nothing")
    assert main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["fidelity"]["data"]["outputs"]["y"]["cosine_mean"] > 0.99
    assert Path(figures["file"]).stat().st_size == figures["bytes"]


def test_quantize_encoder_missed_target_is_status_1_and_keeps_the_file(tmp_path, capsys) -> None:
    assert main([*broken(tmp_path, "--target 1"), "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["least_cosine"] < figures["target"] == 1
    assert Path(figures["file"]).stat().st_size == figures["bytes"]


@pytest.mark.models
@pytest.mark.parametrize(
    ("extra", "says"),
    [("--limit -3", "--limit -3: at least 1"), ("--data {}", "no item is long enough")],
)
def test_quantize_connector_that_cannot_be_compared_is_not_written(tmp_path, capsys, extra, says) -> None:
    (tmp_path / "short").mkdir()
    soundfile.write(tmp_path / "short" / "click.wav", np.zeros(8, np.float32), 16_000)
    out = tmp_path / "out" / "made.onnx"
    arguments = [*extra.format(tmp_path / "short").split(), "--out", str(out)]
    assert main(["connector", "audio-ambience-pocket", "--scheme", "fp16", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not out.parent.exists() or not list(out.parent.iterdir())


@pytest.mark.parametrize("make", [convolutions, lambda path: network(path, width=WIDTH + 1)])
def test_report_of_models_with_other_inputs_is_refused_before_any_work(tmp_path, capsys, monkeypatch, make) -> None:
    monkeypatch.setattr(feeds, "role_of", lambda *_: pytest.fail("work has begun"))
    network(tmp_path / "a.onnx")
    make(tmp_path / "b.onnx")
    assert main(["report", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")]) == 2
    said = capsys.readouterr().err
    assert "takes x" in said
    assert "no pair to compare" in said


def test_compare_feeds_of_another_pair_are_refused(tmp_path) -> None:
    first, second = network(tmp_path / "a.onnx"), convolutions(tmp_path / "b.onnx")
    with pytest.raises(GlassesError) as caught:
        fidelity.compare(first, second, [Named("0", "d", {"x": np.zeros((2, WIDTH), np.float32)})])
    assert caught.value.reason is Reason.BAD_INPUT
