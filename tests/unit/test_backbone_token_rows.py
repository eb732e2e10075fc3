"""Rows of the embedding table against an independent reader of GGUF, and tables of other types written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.token_rows import TokenRows
from glasses.errors import ModelError, Reason


def write_gguf(path: Path, table: np.ndarray, ggml_type: int) -> None:
    """A GGUF v3 with no metadata and one tensor; `table` holds the raw rows, its shape is (n_vocab, n_embd)."""
    name = b"token_embd.weight"
    header = b"GGUF" + np.array([3], "<u4").tobytes() + np.array([1, 0], "<u8").tobytes()
    header += np.array([len(name)], "<u8").tobytes() + name + np.array([2], "<u4").tobytes()
    header += np.array(table.shape[::-1], "<u8").tobytes() + np.array([ggml_type], "<u4").tobytes()
    header += np.array([0], "<u8").tobytes()
    path.write_bytes(header + b"\0" * (-len(header) % 32) + table.tobytes() + b"\0" * (-table.nbytes % 32))


@pytest.mark.models
def test_rows_are_those_of_the_reference_reader(backbone: LlamaBackbone, gguf_path: Path):
    gguf = pytest.importorskip("gguf", reason="the reference reader comes with the train extra")
    quants = pytest.importorskip("gguf.quants")
    tensor = next(t for t in gguf.GGUFReader(gguf_path).tensors if t.name == "token_embd.weight")
    expected = quants.dequantize(tensor.data, tensor.tensor_type)
    assert np.array_equal(backbone.token_rows(range(backbone.n_vocab)), expected)


@pytest.mark.models
def test_ids_outside_the_table_are_refused(backbone: LlamaBackbone):
    assert backbone.token_rows([]).shape == (0, 576)
    for bad in ([-1], [1, 49152]):
        with pytest.raises(ModelError) as caught:
            backbone.token_rows(bad)
        assert caught.value.reason is Reason.BAD_INPUT


@pytest.mark.parametrize(("dtype", "ggml_type"), [(np.float32, 0), (np.float16, 1)])
def test_float_tables(tmp_path: Path, dtype: type, ggml_type: int):
    table = np.random.default_rng(0).normal(size=(5, 64)).astype(dtype)
    write_gguf(tmp_path / "t.gguf", table, ggml_type)
    rows = TokenRows(tmp_path / "t.gguf", 5, 64, 1.0)
    assert np.array_equal(rows.read([3, 0, 3]), table[[3, 0, 3]].astype(np.float32))
    assert np.array_equal(TokenRows(tmp_path / "t.gguf", 5, 64, 8.0).read([2]), table[[2]].astype(np.float32) * 8)


def test_tables_of_another_size_and_files_without_one(tmp_path: Path):
    table = np.zeros((5, 64), np.float32)
    write_gguf(tmp_path / "t.gguf", table, 0)
    (tmp_path / "not.gguf").write_bytes(b"nonsense")
    for path, n_vocab, name in (("t.gguf", 6, "token_embd.weight"), ("t.gguf", 5, "x"), ("not.gguf", 5, "x")):
        with pytest.raises(ModelError) as caught:
            TokenRows(tmp_path / path, n_vocab, 64, 1.0, name)
        assert caught.value.reason is Reason.CORRUPT
