"""Verdict, report page, plan, export and bundle: what `quantize` says and packages."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")
pytest.importorskip("onnx_ir")

from glasses.assistant.answer import Times, answer  # noqa: E402
from glasses.encoders.audio import AudioEncoder  # noqa: E402
from glasses.errors import GlassesError, Reason  # noqa: E402
from glasses.model_store import manifests, store, user_bundles  # noqa: E402
from glasses.runtime.bundle import open_bundle  # noqa: E402
from glasses.runtime.heads import open_addressee, open_end_of_turn, open_memory_intent  # noqa: E402
from glasses.runtime.prompt import PromptState, connect  # noqa: E402
from glasses.system.board import board_names  # noqa: E402
from glasses.types import Turn  # noqa: E402
from quantize import __main__ as quantize_main  # noqa: E402
from quantize import bundle, export, feeds, page, plan, processors, schemes  # noqa: E402
from quantize.__main__ import main  # noqa: E402
from quantize.verdict import verdict  # noqa: E402

pytestmark = [pytest.mark.quantize, pytest.mark.filterwarnings("ignore")]


def result(cosine: float = 0.995, speed: float = 2.5, b_percent: float = 60.0, items: int = 100) -> dict:
    """A comparison as report.compare gives it."""
    out = {
        "cosine": cosine,
        "cosine_mean": cosine,
        "cosine_least": cosine - 0.01,
        "snr_db": 20.0,
        "max_difference": 1.0,
        "mean_difference": 0.1,
        "worst_rows": [{"file": "<a>.ogg", "row": 3, "cosine": 0.5}],
    }
    return {
        "role": "audio-encoder",
        "fidelity": {"speech": {"files": 2, "outputs": {"y": out}, "layers": [{"name": "l0", "op": "MatMul", **out}]}},
        "speed": {"ms": [10.0, 10.0 / speed], "speed": [1.0, speed]},
        "speed by window": {"5 s": speed},
        "tasks": {
            "pictures named": {"a_percent": 62.0, "b_percent": b_percent, "items": items, "higher_is_better": True}
        },
        "a": {"file": "a.onnx", "bytes": 4000, "sha256": "0" * 64, "resident_mb": 40.0},
        "b": {"file": "b.onnx", "bytes": 1000, "sha256": "1" * 64, "resident_mb": 20.0},
        "machine": "2-core x86_64",
        "limits": {"items a domain": 2, "items an eval set": None},
    }


@pytest.mark.parametrize(
    ("changes", "better", "says"),
    [
        ({}, "B", "No task gets worse"),
        ({"cosine": 0.98}, "A", "under 0.99"),
        ({"b_percent": 30.0}, "A", "Tasks get worse by more than chance explains: pictures named"),
        ({"b_percent": 52.0, "items": 20}, "B", "No task gets worse"),  # 20 items: ten points are chance
        ({"b_percent": 52.0, "items": 2000}, "A", "Tasks get worse"),
        ({"speed": 0.2}, "A", "no reason to change"),
    ],
)
def test_verdict_weighs_fidelity_tasks_and_gain(changes, better, says) -> None:
    found = verdict(result(**changes))
    assert found["better"] == better
    assert says in " ".join(found["why"])


@pytest.mark.parametrize(("items", "better"), [(20, "B"), (2000, "A")])
def test_verdict_single_runaway_answer_is_no_loss_of_words(items: int, better: str) -> None:
    found = result()
    figures = {"a_percent": 120.0, "b_percent": 150.0, "items": items, "higher_is_better": False}
    assert verdict(found | {"tasks": {"words wrong: human captions": figures}})["better"] == better


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "line", "polyline", "rect"):
            self.open.append(tag)
        self.foreign += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_page_is_complete_and_fetches_nothing() -> None:
    found = result()
    found["verdict"] = verdict(found)
    text = page.render(found)
    parser = _Page()
    parser.feed(text.replace("/>", ">"))
    assert parser.foreign == []
    assert "&lt;a&gt;.ogg" in text
    assert "<a>" not in text
    assert text.count("<svg") == 3


@pytest.mark.parametrize(
    ("missing", "command", "says"),
    [
        ("onnx", "plan", "quantize plan: onnx is not installed; install the extra"),
        ("gguf", "backbone", "quantize backbone: gguf is not installed; install the extra"),
        ("quantize.plan", "plan", "import of quantize.plan halted"),  # ours: a defect, which its traceback shows
    ],
)
def test_quantize_missing_package_of_the_extra_names_the_extra(missing, command, says) -> None:
    """A missing module of our own is a defect, and --verbose shows its traceback."""
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_module('quantize', run_name='__main__')"
    arguments = [sys.executable, "-c", code, "--verbose", command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert ("Traceback" in done.stderr) is missing.startswith("quantize")
    assert says in done.stderr
    assert ("install the extra" in done.stderr) is not missing.startswith("quantize")


def test_quantize_extra_is_the_one_in_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    named = {one.partition(">")[0].replace("-", "_") for one in project["optional-dependencies"]["quantize"]}
    assert named == set(quantize_main._EXTRA)


def test_board_compute_of_every_board_we_run_on_is_known() -> None:
    for name in board_names():
        if name in ("desktop", "even-g1", "frame"):  # nothing of ours is estimated on these
            with pytest.raises(GlassesError) as caught:
                processors.board_compute(name)
            assert caught.value.reason is Reason.NOT_FOUND
        elif "[compute]" in (processors.BOARDS_DIR / f"{name}.toml").read_text():
            assert processors.board_compute(name).int8_gmacs > processors.board_compute(name).float_gmacs


def test_scaled_ms_integer_kernels_scale_by_integer_peaks() -> None:
    here = processors.Compute((), 2000, 16, 64, 10.0)
    there = processors.Compute((), 1000, 4, 8, 1.0)
    spent = {"DynamicQuantizeMatMul": 1.0, "MatMulIntegerToFloat": 1.0, "Conv": 3.0}
    assert processors.scaled_ms(spent, here, there) == pytest.approx(2.0 * 16 + 3.0 * 8)


def test_board_compute_wrong_table_is_named(tmp_path) -> None:
    text = (processors.BOARDS_DIR / "pi5.toml").read_text()
    (tmp_path / "odd.toml").write_text(text.replace("clock_mhz = 2400", "clock_mhz = -1"))
    with pytest.raises(GlassesError, match=r"odd\.toml: compute\.clock_mhz"):
        processors.board_compute("odd", tmp_path)
    (tmp_path / "less.toml").write_text(text.replace("clock_mhz = 2400\n", ""))
    with pytest.raises(GlassesError, match=r"less\.toml: \[compute\] needs exactly"):
        processors.board_compute("less", tmp_path)


@pytest.mark.models
def test_plan_of_the_smallest_board_says_what_does_not_fit(capsys) -> None:
    assert main(["plan", "--board", "zero2w", "--bundle", "pocket", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["variants"]
    assert 300 < row["memory_mb"]["memory"] < 700
    limit_mb = 512 - plan.RESERVED_MB
    assert row["fits"] == {what: mb <= limit_mb for what, mb in row["memory_mb"].items()} | {"storage": True}
    assert not row["fits"]["memory"], "a board with 512 MB does not hold the shipped bundle beside its system"
    assert row["estimated_ms"]["turn"] > row["estimated_ms"]["encode speech"] > 0


@pytest.mark.models
def test_plan_counts_what_a_variant_takes_in_addition(monkeypatch) -> None:
    store.pull(["whisper-tiny-en-ct2"])
    monkeypatch.setattr(bundle, "SCHEMES", ("int8-weight-only",))
    monkeypatch.setattr(plan, "BACKBONES", ("mixed",))
    shipped, smaller_sound, smaller = plan.estimates("pocket", "pi5", variants=True, step=lambda what: lambda: None)
    assert smaller["command"] == "quantize bundle --board pi5 --scheme int8-weight-only --backbone mixed"
    assert shipped["storage_mb"] > smaller_sound["storage_mb"] > smaller["storage_mb"] > shipped["storage_mb"] - 20
    assert smaller["memory_mb"]["memory"] < shipped["memory_mb"]["memory"]
    assert all(all(row["fits"].values()) for row in (shipped, smaller_sound, smaller))
    assert {"encode speech", "connectors", "speak", "prefill", "decode", "turn"} <= smaller["estimated_ms"].keys()


@pytest.mark.parametrize("board", ["zero2w", "pi5", "orin-nano"])
def test_recipe_of_a_board_is_the_scheme_that_is_advised_for_it(board: str) -> None:
    advised, _ = processors.session_options(board)["scheme of the audio encoder"]
    made = bundle.recipe_for(board).audio
    assert made is not None
    assert advised.split() == [made.scheme, *(["--every-product"] if made.every_product else [])]


def test_export_dynamic_axes_are_named_and_run_at_any_length(tmp_path, capsys) -> None:
    value = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("x", "y")]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    body = onnx.helper.make_graph([node], "relu", [value[0]], [value[1]])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(body, opset_imports=opset, ir_version=8), tmp_path / "fixed.onnx")
    out = tmp_path / "free.onnx"
    command = ["export", str(tmp_path / "fixed.onnx"), "--out", str(out), "--json", "--dynamic"]
    assert main([*command, "x:0=batch"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["shapes"][1]["outputs"] == {"y": [6, 4]}
    assert figures["parity"]["max_difference"] == 0.0
    assert main([*command, "z:0=batch"]) == 2
    assert "no axis 0 of an input 'z'" in capsys.readouterr().err


@pytest.mark.train
def test_export_of_a_hugging_face_whisper_equals_transformers(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, decoder_layers=1,
        decoder_attention_heads=4, decoder_ffn_dim=64, vocab_size=64, num_mel_bins=80,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
    )  # fmt: skip
    transformers.WhisperModel(config).save_pretrained(tmp_path / "whisper")
    source = export.source_of(tmp_path / "whisper")
    onnx.save(source.build(), tmp_path / "made.onnx")
    found = export.parity(source, tmp_path / "made.onnx")
    assert found["measured"]
    assert found["max_difference"] < 1e-4 < found["mean_size"]


@pytest.mark.train
@pytest.mark.models
def test_export_of_the_image_encoder_equals_torch(tmp_path) -> None:
    pytest.importorskip("torch")
    store.pull(["efficientnet-lite0-pth"])
    source = export.source_of(store.path_of("efficientnet-lite0-pth"))
    onnx.save(source.build(), tmp_path / "made.onnx")
    found = export.parity(source, tmp_path / "made.onnx")
    assert found["max_difference"] < 1e-3
    assert found["mean_size"] > 0.01


@pytest.mark.models
def test_bundle_variant_loads_and_refuses_latents_of_the_shipped_one(request, tmp_path) -> None:
    store.pull(["whisper-tiny-en-ct2"])
    name = "pocket-test-variant"
    request.addfinalizer(lambda: user_bundles.folder_of(name).unlink())
    recipe = bundle.Recipe(audio=schemes.Options("dynamic-int8", every_product=True), backbone="mixed")
    before = _sources()
    made = bundle.make(name, recipe, importance=None, out=tmp_path / "mine", step=lambda what: None)
    again = bundle.make(name, recipe, importance=None, out=tmp_path / "mine", step=lambda what: None)
    assert made == again
    assert (_sources(), [path.name for path in tmp_path.iterdir()]) == (before, ["mine"])
    assert name in store.bundle_names()
    loaded = open_bundle(name, n_threads=1)
    try:
        heard = loaded.encode_audio(feeds_noise())
        assert list(answer(loaded, Turn(0, 0, "test", heard), Times(), max_tokens=2))
        assert all(opened(loaded) for opened in (open_end_of_turn, open_addressee, open_memory_intent))
        shipped = AudioEncoder(store.path_of(store.load_bundle().encoders["audio"]), n_threads=1).encode(feeds_noise())
        with pytest.raises(GlassesError) as caught:
            connect(loaded, shipped, PromptState())
        assert caught.value.reason is Reason.WRONG_SPACE
    finally:
        loaded.close()


@pytest.mark.models
def test_rebuild_pocket_makes_the_shipped_encoders_bit_for_bit(tmp_path) -> None:
    store.pull(["whisper-tiny-en-ct2", "yamnet-onnx"])
    rows = {row["model"]: row["result"] for row in bundle.rebuild_pocket(None, tmp_path, lambda what: None)}
    assert rows["whisper-tiny-en-encoder-int8"] == rows["yamnet-int8"] == "made again, same sha256"
    assert rows["audio-words-pocket"] == rows["wishes-pocket"] == bundle.TRAINED
    assert rows["silero-vad-16k"] == bundle.AS_PUBLISHED
    assert rows.keys() == set(store.load_bundle("pocket").models())


@pytest.mark.parametrize("name", ["../evil", "pocket", "", "a/b", ".hidden", "Ünder"])
def test_make_bundle_bad_or_taken_name_is_refused_before_any_work(name: str) -> None:
    with pytest.raises(GlassesError) as caught:
        bundle.make(name, bundle.Recipe(), importance=None, step=lambda what: pytest.fail(f"began: {what}"))
    assert caught.value.reason is Reason.BAD_INPUT


def feeds_noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)


def _sources() -> list[Path]:
    """All files of models/, where nothing may be written."""
    return sorted(manifests.MANIFESTS.parent.rglob("*"))


def test_role_of_a_network_is_told_by_its_inputs() -> None:
    def model(name: str, shape: list):
        value = onnx.helper.make_tensor_value_info(name, 1, shape)
        return onnx.helper.make_model(onnx.helper.make_graph([], "g", [value], []))

    assert feeds.role_of(model("mel", [1, 80, "n"])).kind == "sound"
    assert feeds.role_of(model("pixels", [1, 3, 224, 224])).kind == "picture"
    assert feeds.role_of(model("other", [1])).kind == "arrays"
    with pytest.raises(GlassesError, match="latents 5 wide"):
        feeds.role_of(model("latents", ["T", 5]))
