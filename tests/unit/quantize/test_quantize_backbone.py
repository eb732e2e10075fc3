"""`quantize backbone`, `imatrix` and the divergence of two backbones, on the GGUF of the pocket bundle."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="the quantize extra is not installed")
pytest.importorskip("onnx")

from glasses.backbone.llama import LlamaBackbone  # noqa: E402
from glasses.errors import GlassesError, Reason  # noqa: E402
from quantize import backbone, divergence, files, imatrix  # noqa: E402
from quantize.prompts import Prompt  # noqa: E402

pytestmark = [pytest.mark.quantize, pytest.mark.models]
TEXT = "The cat sat on the mat and looked at the bird in the tree, which sang a song about spring."


def made(source: Path, out: Path, kind: str, importance: imatrix.Importance | None = None) -> Path:
    with files.whole(out) as part:
        backbone.quantize(source, part, kind, importance)
    return out


@pytest.fixture(scope="module")
def tokens(gguf_path: Path) -> list[int]:
    with LlamaBackbone(gguf_path, n_ctx=64, n_threads=1) as opened:
        return opened.tokenize(TEXT, special=False)


@pytest.fixture(scope="module")
def small(gguf_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(gguf_path, tmp_path_factory.mktemp("gguf") / "small.gguf", "Q4_0")


def test_quantize_backbone_same_command_gives_the_same_bytes(gguf_path, small, tmp_path) -> None:
    again = made(gguf_path, tmp_path / "again.gguf", "Q4_0")
    assert again.read_bytes() == small.read_bytes()
    assert small.stat().st_size < gguf_path.stat().st_size
    assert max(backbone.tensor_types(small).items(), key=lambda item: item[1])[0] == "Q4_0"


def test_quantize_backbone_mixed_copies_the_layers_of_a_q4_1_source(gguf_path, tmp_path) -> None:
    mixed = made(gguf_path, tmp_path / "mixed.gguf", "mixed")
    readers = [{t.name: t for t in backbone.check(path).tensors} for path in (gguf_path, mixed)]
    name = "blk.7.ffn_down.weight"
    assert np.array_equal(readers[0][name].data, readers[1][name].data)
    assert readers[1]["token_embd.weight"].tensor_type.name == "Q5_1"


def test_divergence_from_itself_is_zero_and_from_fewer_bits_is_not(gguf_path, small, tokens) -> None:
    prompts = [Prompt("text", "cat", (tokens,), 1), Prompt("turn", "cat", (tokens[:9], tokens[9:]), 9)]
    same = divergence.compare(gguf_path, gguf_path, prompts)
    for domain, scored in (("text", len(tokens) - 1), ("turn", len(tokens) - 9)):
        assert same[domain]["positions"] == scored
        assert same[domain]["kld_max"] == 0.0
        assert same[domain]["same_top"] == 1.0
        assert same[domain]["perplexity_ratio"] == 1.0
    less = divergence.compare(gguf_path, small, prompts)["text"]
    assert 0 < less["kld_median"] <= less["kld_mean"] <= less["kld_max"]
    assert less["rms_change"] > 0


def test_log_probabilities_are_those_of_feeding_token_by_token(gguf_path, tokens) -> None:
    few = tokens[:6]
    native = divergence.Native(gguf_path, n_ctx=64, n_batch=32, n_threads=1)
    found = divergence.log_probabilities(native, Prompt("text", "cat", (few,), 1), 1)
    native.close()
    with LlamaBackbone(gguf_path, n_ctx=64, n_threads=1) as opened:
        for i in range(1, len(few)):
            opened.feed([few[i - 1 : i]])
            logits = opened.logits().astype(np.float64)
            expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            assert found[i - 1].argmax() == expected.argmax()
            assert np.abs(found[i - 1] - expected).max() < 0.5  # another batch shape: other rounding in Q8 products


def test_imatrix_of_latents_is_that_of_their_tokens(gguf_path, tokens, tmp_path) -> None:
    with LlamaBackbone(gguf_path, n_ctx=64, n_threads=1) as opened:
        rows = opened.token_rows(tokens)
    by_token, by_row = (imatrix.collect(gguf_path, [(part,)]) for part in (tokens, rows))
    assert by_token.sums.keys() == by_row.sums.keys()
    assert len(by_token.sums) == 211  # seven matrices in each of 30 layers, and the classifier
    for name, total in by_token.sums.items():
        assert np.array_equal(total, by_row.sums[name])
    assert by_token.counts["blk.0.attn_q.weight"] == len(tokens)
    normed = by_token.means["blk.0.attn_q.weight"]
    assert normed.shape == (576,)
    assert (normed > 0).all()
    with files.whole(tmp_path / "i.gguf") as part:
        imatrix.write(by_token, part)
    back = imatrix.read(tmp_path / "i.gguf")
    assert back.counts == by_token.counts
    assert all(np.array_equal(back.sums[name], total) for name, total in by_token.sums.items())


def test_quantize_backbone_with_an_imatrix_writes_other_weights(gguf_path, small, tokens, tmp_path) -> None:
    importance = imatrix.collect(gguf_path, [(tokens,)])
    weighed = made(gguf_path, tmp_path / "weighed.gguf", "Q4_0", importance)
    assert weighed.stat().st_size >= small.stat().st_size
    assert weighed.read_bytes() != small.read_bytes()


@pytest.mark.parametrize(
    ("kind", "reason", "says"),
    [("Q9", Reason.BAD_INPUT, "unknown type 'Q9'"), ("IQ1_S", Reason.BAD_INPUT, "needs an importance matrix")],
)
def test_quantize_backbone_wrong_types_are_refused(gguf_path, tmp_path, kind, reason, says) -> None:
    with pytest.raises(GlassesError, match=says) as caught:
        made(gguf_path, tmp_path / "x.gguf", kind)
    assert caught.value.reason is reason
    assert not list(tmp_path.iterdir())


def test_quantize_backbone_truncated_model_is_corrupt(gguf_path, tmp_path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf_path.read_bytes()[:30_000_000])
    with pytest.raises(GlassesError) as caught:
        made(cut, tmp_path / "x.gguf", "Q8_0")
    assert caught.value.reason is Reason.CORRUPT
    assert [path.name for path in tmp_path.iterdir()] == ["cut.gguf"]
    with pytest.raises(GlassesError) as caught:
        imatrix.read(cut)
    assert caught.value.reason is Reason.CORRUPT


def test_check_pair_of_backbones_of_other_widths_is_refused(gguf_path, tmp_path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((8, 4), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    with pytest.raises(GlassesError, match="no pair to compare") as caught:
        backbone.check_pair(gguf_path, tmp_path / "b.gguf")
    assert caught.value.reason is Reason.BAD_INPUT
    backbone.check_pair(gguf_path, gguf_path)


def test_quantize_backbone_on_a_full_disk_leaves_nothing(gguf_path, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quantize", "backbone", str(gguf_path), "--type", "Q4_0", "--out", tmp_path / "x.gguf"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000)),
    )
    assert done.returncode == 2, done.stderr
    assert "x.gguf" in done.stderr
    assert not list(tmp_path.iterdir())
