"""The Latent API's promise: a latent that equals a token's row is that token, bit for bit, and text is untouched."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp.llama_cpp
import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.service.engines.engine import cut
from glasses.service.engines.llama import SLICE_ROWS

pytestmark = pytest.mark.models
PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
LONG = "The ship left the harbour at dawn, and nobody on board knew where it was going. " * 16


def test_backbone_token_rows_as_latents_give_identical_logits(backbone: LlamaBackbone):
    """Logits and hidden states are equal bit for bit."""
    ids = backbone.tokenize(PROMPT)
    as_tokens = backbone.feed([ids], hidden="all")
    token_logits = backbone.logits()
    backbone.rollback(0)
    as_latents = backbone.feed([backbone.token_rows(ids)], hidden="all")
    assert as_tokens is not None
    assert as_latents is not None
    assert np.abs(as_tokens - as_latents).max() == 0.0
    assert np.abs(token_logits - backbone.logits()).max() == 0.0


def test_backbone_token_rows_as_latents_generate_identical_text(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    from_tokens = list(backbone.generate(1, max_tokens=12))
    backbone.rollback(0)
    backbone.feed([backbone.token_rows(ids)])
    assert list(backbone.generate(1, max_tokens=12)) == from_tokens


def test_backbone_latents_longer_than_a_batch_give_identical_logits(backbone: LlamaBackbone):
    ids = backbone.tokenize(LONG)
    assert len(ids) > 256
    backbone.feed([ids])
    token_logits = backbone.logits()
    backbone.rollback(0)
    backbone.feed([backbone.token_rows(ids)])
    assert np.abs(token_logits - backbone.logits()).max() == 0.0


def test_backbone_prompt_fed_in_slices_gives_the_logits_of_the_whole(backbone: LlamaBackbone):
    """The service's slices: the same next token, and logits that batches of other shapes would move more."""
    ids = backbone.tokenize(LONG)
    backbone.feed([ids])
    whole = backbone.logits()
    backbone.rollback(0)
    slices = cut([ids], SLICE_ROWS, backbone.n_batch)
    assert len(slices) > 2
    for each in slices:
        backbone.feed(each)
    assert backbone.n_past == len(ids)
    assert backbone.logits().argmax() == whole.argmax()
    assert backbone.logits() @ whole / np.linalg.norm(backbone.logits()) / np.linalg.norm(whole) > 0.9999


def test_backbone_interleaved_parts_give_identical_logits(backbone: LlamaBackbone):
    """Tokens and latents in turn equal tokens alone, for the same batch shapes."""
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids[:5], ids[5:11], ids[11:]])
    token_logits = backbone.logits()
    backbone.rollback(0)
    backbone.feed([ids[:5], backbone.token_rows(ids[5:11]), ids[11:]])
    assert backbone.n_past == len(ids)
    assert np.abs(token_logits - backbone.logits()).max() == 0.0


def test_backbone_reading_the_last_hidden_state_changes_no_logit(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    without = backbone.logits()
    backbone.rollback(0)
    backbone.feed([ids], hidden="last")
    assert np.abs(without - backbone.logits()).max() == 0.0


def test_backbone_parts_in_another_order_give_other_logits(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids[:8], backbone.token_rows(ids[8:])])
    right = backbone.logits()
    backbone.rollback(0)
    backbone.feed([backbone.token_rows(ids[8:]), ids[:8]])
    assert np.abs(right - backbone.logits()).max() > 1.0


def test_backbone_text_prompt_gives_llama_cpp_logits(backbone: LlamaBackbone, gguf_path: Path):
    """Logits of a text prompt equal those of llama.cpp's own plain call on a context of its own."""
    c = llama_cpp.llama_cpp
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    model = c.llama_model_load_from_file(str(gguf_path).encode(), c.llama_model_default_params())
    assert model is not None
    params = c.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = 1024, 1, 1
    context = c.llama_init_from_model(model, params)
    assert context is not None
    try:
        tokens = (c.llama_token * len(ids))(*ids)
        assert c.llama_decode(context, c.llama_batch_get_one(tokens, len(ids))) == 0
        plain = np.ctypeslib.as_array(
            ctypes.cast(c.llama_get_logits_ith(context, -1), ctypes.POINTER(ctypes.c_float)), (backbone.n_vocab,)
        )
        assert np.abs(plain - backbone.logits()).max() == 0.0
    finally:
        c.llama_free(context)
        c.llama_model_free(model)
