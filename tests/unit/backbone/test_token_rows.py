"""Rows of the embedding table, compared with an independent reader, for every supported architecture.

The models other than the pocket one are written here: one layer of noise and no tokenizer. They show that the rows we
read are the ones llama.cpp looks up itself, scaled as that architecture scales them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.token_rows import SQRT_SCALED, UNSCALED, TokenRows
from glasses.errors import ModelError, Reason

WIDTH, VOCABULARY, HIDDEN, HEADS = 64, 48, 96, 2
_GGML_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}


def write_gguf(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str | int | float]) -> None:
    """A GGUF version 3 file: header, metadata, tensor descriptions, then the tensors, each on a multiple of 32."""

    def text(value: str) -> bytes:
        return np.uint64(len(value)).tobytes() + value.encode()

    head = b"GGUF" + np.uint32(3).tobytes() + np.array([len(tensors), len(metadata)], np.uint64).tobytes()
    for key, value in metadata.items():
        if isinstance(value, str):
            head += text(key) + np.uint32(8).tobytes() + text(value)
        elif isinstance(value, int):
            head += text(key) + np.uint32(4).tobytes() + np.uint32(value).tobytes()
        else:
            head += text(key) + np.uint32(6).tobytes() + np.float32(value).tobytes()
    body = b""
    for name, tensor in tensors.items():
        head += text(name) + np.uint32(tensor.ndim).tobytes() + np.array(tensor.shape[::-1], np.uint64).tobytes()
        head += np.uint32(_GGML_TYPES[tensor.dtype]).tobytes() + np.uint64(len(body)).tobytes()
        body += tensor.tobytes() + b"\0" * (-tensor.nbytes % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)


def write_tiny_model(path: Path, architecture: str) -> None:
    """One layer with the tensors that any of the architectures asks for; llama.cpp ignores metadata it does not."""
    rng = np.random.default_rng(1)
    layer = {
        **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH)),
        **{"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)},
    }
    norms = ["attn_norm", "ffn_norm"]
    if architecture in ("gemma2", "gemma3"):
        norms += ["post_attention_norm", "post_ffw_norm"]
    tensors = {"token_embd.weight": rng.normal(size=(VOCABULARY, WIDTH), scale=0.3).astype(np.float32)}
    tensors |= {f"blk.0.{n}.weight": rng.normal(size=s, scale=0.3).astype(np.float32) for n, s in layer.items()}
    tensors |= {f"blk.0.{n}.weight": np.ones(WIDTH, np.float32) for n in norms}
    if architecture in ("gemma3", "qwen3"):
        tensors |= {f"blk.0.attn_{n}_norm.weight": np.ones(WIDTH // HEADS, np.float32) for n in "qk"}
    if architecture == "qwen2":
        tensors |= {f"blk.0.attn_{n}.bias": np.ones(WIDTH, np.float32) for n in "qkv"}
    sizes: dict[str, int | float] = {
        "block_count": 1,
        "context_length": 256,
        "embedding_length": WIDTH,
        "feed_forward_length": HIDDEN,
        "vocab_size": VOCABULARY,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "attention.key_length": WIDTH // HEADS,
        "attention.value_length": WIDTH // HEADS,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": 32,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    }
    metadata: dict[str, str | int | float] = {"general.architecture": architecture, "tokenizer.ggml.model": "no_vocab"}
    metadata |= {f"{architecture}.{key}": value for key, value in sizes.items()}
    write_gguf(path, {**tensors, "output_norm.weight": np.ones(WIDTH, np.float32)}, metadata)


@pytest.mark.parametrize("architecture", sorted(UNSCALED | SQRT_SCALED))
def test_token_rows_of_each_architecture_are_what_llama_cpp_looks_up(tmp_path: Path, architecture: str):
    write_tiny_model(tmp_path / "tiny.gguf", architecture)
    ids = [1, 5, 9, 30, 2]
    with LlamaBackbone(tmp_path / "tiny.gguf", n_ctx=256, n_threads=1) as tiny:
        as_tokens, token_logits = tiny.feed([ids], hidden="all"), tiny.logits()
        tiny.rollback(0)
        as_latents = tiny.feed([tiny.token_rows(ids)], hidden="all")
        assert as_tokens is not None
        assert np.abs(as_tokens).max() > 0.1
        assert as_latents is not None
        assert np.array_equal(as_tokens, as_latents)
        assert np.array_equal(token_logits, tiny.logits())


def test_backbone_without_a_tokenizer_takes_rows_and_refuses_text(tmp_path: Path):
    write_tiny_model(tmp_path / "tiny.gguf", "llama")
    with LlamaBackbone(tmp_path / "tiny.gguf", n_ctx=256, n_threads=1) as tiny:
        with pytest.raises(ModelError) as caught:
            tiny.tokenize("hello")
        assert caught.value.reason is Reason.BAD_INPUT
        tiny.feed([[1, 2]])
        assert [p.text for p in tiny.generate(1, max_tokens=3)] == ["", "", ""]


def test_backbone_of_an_unsupported_architecture_is_refused(tmp_path: Path):
    write_tiny_model(tmp_path / "tiny.gguf", "granite")  # scales what is fed as well, so its rows would need care
    with pytest.raises(ModelError, match="granite") as caught:
        LlamaBackbone(tmp_path / "tiny.gguf", n_ctx=256)
    assert caught.value.reason in (Reason.BAD_INPUT, Reason.CORRUPT)


@pytest.mark.models
def test_token_rows_are_those_of_the_reference_reader(backbone: LlamaBackbone, gguf_path: Path):
    gguf = pytest.importorskip("gguf", reason="the reference reader comes with the train extra")
    quants = pytest.importorskip("gguf.quants")
    tensor = next(t for t in gguf.GGUFReader(gguf_path).tensors if t.name == "token_embd.weight")
    ids = np.random.default_rng(0).permutation(backbone.n_vocab)[:2000]
    assert np.array_equal(backbone.token_rows(ids.tolist()), quants.dequantize(tensor.data[ids], tensor.tensor_type))


@pytest.mark.models
def test_token_rows_ids_outside_the_table_are_refused(backbone: LlamaBackbone):
    assert backbone.token_rows([]).shape == (0, 576)
    for bad in ([-1], [1, 49152]):
        with pytest.raises(ModelError) as caught:
            backbone.token_rows(bad)
        assert caught.value.reason is Reason.BAD_INPUT


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_token_rows_float_tables_are_read_and_scaled(tmp_path: Path, dtype: type):
    table = np.random.default_rng(0).normal(size=(5, 64)).astype(dtype)
    write_gguf(tmp_path / "t.gguf", {"token_embd.weight": table}, {})
    rows = TokenRows(tmp_path / "t.gguf", 5, 64, 1.0)
    assert np.array_equal(rows.read([3, 0, 3]), table[[3, 0, 3]].astype(np.float32))
    assert np.array_equal(TokenRows(tmp_path / "t.gguf", 5, 64, 8.0).read([2]), table[[2]].astype(np.float32) * 8)


def test_token_rows_table_absent_or_of_another_size_is_corrupt(tmp_path: Path):
    write_gguf(tmp_path / "t.gguf", {"token_embd.weight": np.zeros((5, 64), np.float32)}, {})
    (tmp_path / "not.gguf").write_bytes(b"nonsense")
    for path, n_vocab, name in (("t.gguf", 6, "token_embd.weight"), ("t.gguf", 5, "x"), ("not.gguf", 5, "x")):
        with pytest.raises(ModelError) as caught:
            TokenRows(tmp_path / path, n_vocab, 64, 1.0, name)
        assert caught.value.reason is Reason.CORRUPT
