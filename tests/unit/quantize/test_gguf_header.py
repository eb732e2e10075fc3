"""A GGUF whose lengths lie is refused before anything believes them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

gguf = pytest.importorskip("gguf")

import numpy as np  # noqa: E402

from glasses.errors import ModelError, Reason  # noqa: E402
from quantize.gguf_header import check_header  # noqa: E402


def written(path: Path) -> bytes:
    """A small file with a key of each form."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["a", "bc"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_float32("number", 1.5)
    writer.add_tensor("token_embd.weight", np.ones((2, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_check_header_whole_file_passes(tmp_path: Path) -> None:
    written(tmp_path / "a.gguf")
    check_header(tmp_path / "a.gguf")


@pytest.mark.parametrize("n_bytes", [0, 3, 20, 60, 200])
def test_check_header_of_a_file_that_is_cut_is_corrupt(tmp_path: Path, n_bytes: int) -> None:
    (tmp_path / "b.gguf").write_bytes(written(tmp_path / "a.gguf")[:n_bytes])
    with pytest.raises(ModelError) as caught:
        check_header(tmp_path / "b.gguf")
    assert caught.value.reason is Reason.CORRUPT


@pytest.mark.parametrize("n_values", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_check_header_array_of_endless_length_is_corrupt(tmp_path: Path, n_values: int) -> None:
    data = written(tmp_path / "a.gguf")
    for kind, values in ((8, 2), (5, 3)):  # the two arrays: type of their values, how many
        lie = data.replace(struct.pack("<IQ", kind, values), struct.pack("<IQ", kind, n_values))
        assert lie != data
        (tmp_path / "b.gguf").write_bytes(lie)
        with pytest.raises(ModelError) as caught:
            check_header(tmp_path / "b.gguf")
        assert caught.value.reason is Reason.CORRUPT
