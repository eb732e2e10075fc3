"""Saved contexts: exact restore, and every file that must be refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from glasses.backbone import saved_context, state_file
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason

SYSTEM = "<|im_start|>system\nYou are a pair of glasses.<|im_end|>\n"
QUESTION = "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
OWNER = {"model": "m", "context": "c", "tag": "t"}


def small_state() -> SavedState:
    return SavedState(3, np.arange(4, dtype=np.float32), bytearray(range(200)))


@pytest.mark.models
def test_load_state_of_a_saved_context_restores_it_exactly(backbone: LlamaBackbone, tmp_path: Path):
    path, question = tmp_path / "system.kv", backbone.tokenize(QUESTION)
    backbone.feed([backbone.tokenize(SYSTEM)])
    logits, n_past = backbone.logits(), backbone.n_past
    saved_context.save(backbone, path, tag="system 1")
    backbone.feed([question])
    pieces, after = list(backbone.generate(1, max_tokens=8)), backbone.logits()
    backbone.rollback(0)
    backbone.feed([[5, 6, 7]])
    saved_context.load(backbone, path, tag="system 1")
    assert backbone.n_past == n_past
    assert np.array_equal(backbone.logits(), logits)
    backbone.feed([question])
    assert list(backbone.generate(1, max_tokens=8)) == pieces
    assert np.abs(backbone.logits() - after).max() == 0.0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.models
def test_load_state_in_a_newly_opened_model_restores_it_exactly(
    backbone: LlamaBackbone, gguf_path: Path, tmp_path: Path
):
    path, question = tmp_path / "system.kv", backbone.tokenize(QUESTION)
    backbone.feed([backbone.tokenize(SYSTEM)])
    saved_context.save(backbone, path)
    backbone.feed([question])
    with LlamaBackbone(gguf_path, n_ctx=1024, n_batch=256, n_threads=1) as other:
        saved_context.load(other, path)
        other.feed([question])
        assert np.abs(other.logits() - backbone.logits()).max() == 0.0


@pytest.mark.models
def test_load_state_of_another_owner_is_refused(backbone: LlamaBackbone, gguf_path: Path, tmp_path: Path):
    """The context is untouched."""
    path = tmp_path / "system.kv"
    with LlamaBackbone(gguf_path, n_ctx=256, n_threads=1) as other:
        other.feed([[5, 6, 7]])
        saved_context.save(other, path, tag="system 1")
    ids = backbone.tokenize(QUESTION)
    backbone.feed([ids])
    for tag, match in (("system 1", "another context"), ("system 2", "another context, tag")):
        with pytest.raises(ModelError, match=match) as caught:
            saved_context.load(backbone, path, tag=tag)
        assert caught.value.reason is Reason.BAD_INPUT
    with (
        LlamaBackbone(gguf_path, n_ctx=256, n_threads=1, sha256="0" * 64) as other,
        pytest.raises(ModelError, match="model"),
    ):
        saved_context.load(other, path, tag="system 1")
    assert backbone.n_past == len(ids)
    assert next(backbone.generate(1, max_tokens=1)).last


@pytest.mark.models
def test_load_state_bytes_that_llama_cpp_refuses_leave_an_empty_context(backbone: LlamaBackbone, tmp_path: Path):
    """The context stays usable."""
    path = tmp_path / "system.kv"
    backbone.feed([[5, 6, 7]])
    saved_context.save(backbone, path)
    owner = saved_context.owner_of(backbone, "")
    good = state_file.read(path, owner)
    state_file.write(path, owner, SavedState(good.rows, good.logits, good.kv[: len(good.kv) // 2]))
    with pytest.raises(ModelError) as caught:
        saved_context.load(backbone, path)
    assert caught.value.reason is Reason.CORRUPT
    assert backbone.n_past == 0
    backbone.feed([backbone.tokenize(QUESTION)])
    assert next(backbone.generate(1, max_tokens=1)).last


def test_state_file_written_and_read_is_the_same(tmp_path: Path):
    state_file.write(tmp_path / "s", OWNER, small_state())
    back = state_file.read(tmp_path / "s", OWNER)
    assert (back.rows, back.kv) == (3, small_state().kv)
    assert np.array_equal(back.logits, small_state().logits)


def test_state_file_flipped_bytes_and_cuts_are_noticed(tmp_path: Path):
    path = tmp_path / "s"
    state_file.write(path, OWNER, small_state())
    whole = path.read_bytes()
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x11]) + whole[i + 1 :])
        try:
            read = state_file.read(path, OWNER)
        except ModelError as error:
            assert error.reason in (Reason.CORRUPT, Reason.BAD_INPUT, Reason.TOO_LARGE)  # noqa: PT017
        else:  # a number of rows is not covered by the sum; the caller compares it with what llama.cpp restored
            assert read.rows != 3
        path.write_bytes(whole[:i])
        with pytest.raises(ModelError):
            state_file.read(path, OWNER)


def test_state_file_absent_and_corrupt_are_told_apart(tmp_path: Path):
    with pytest.raises(ModelError) as caught:
        state_file.read(tmp_path / "none", OWNER)
    assert caught.value.reason is Reason.NOT_FOUND
    with pytest.raises(ModelError) as caught:
        state_file.write(tmp_path / "no folder" / "s", OWNER, small_state())
    assert caught.value.reason is Reason.NOT_FOUND


def test_state_file_beyond_the_size_cap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state_file.write(tmp_path / "s", OWNER, small_state())
    monkeypatch.setattr(state_file, "MAX_STATE_BYTES", 100)
    for call in (
        lambda: state_file.write(tmp_path / "t", OWNER, small_state()),
        lambda: state_file.read(tmp_path / "s", OWNER),
        lambda: state_file.write(tmp_path / "t", {"tag": "x" * 5000}, small_state()),
    ):
        with pytest.raises(ModelError) as caught:
            call()
        assert caught.value.reason is Reason.TOO_LARGE


def test_state_file_write_on_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "s"
    state_file.write(path, OWNER, small_state())
    before = path.read_bytes()

    def no_space(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ModelError) as caught:
        state_file.write(path, OWNER, SavedState(9, np.zeros(1, np.float32), bytearray(1)))
    assert caught.value.reason is Reason.NO_SPACE
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
