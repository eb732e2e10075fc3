"""Aborting the backbone from another thread, on the real model."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason

pytestmark = pytest.mark.models
PROMPT = "<|im_start|>user\nTell me a long story about a lighthouse.<|im_end|>\n<|im_start|>assistant\n"


def test_abort_in_a_long_prefill_stops_and_undoes_it(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    alone = list(backbone.generate(1, max_tokens=6))
    backbone.rollback(0)
    backbone.feed([ids])
    timer = threading.Timer(0.2, backbone.abort)
    timer.start()
    with pytest.raises(ModelError) as caught:
        # 1,000 rows are seconds of work, and several batches
        backbone.feed([np.random.default_rng(0).normal(size=(1000, 576)).astype(np.float32)])
    timer.join()
    assert caught.value.reason is Reason.ABORTED
    assert backbone.n_past == len(ids)
    backbone.rollback(0)
    backbone.feed([ids])
    assert list(backbone.generate(1, max_tokens=6)) == alone


def test_abort_in_a_long_generation_stops_it_within_one_step(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    pieces, third, aborted = [], threading.Event(), threading.Event()

    def abort_after_the_third() -> None:
        third.wait()
        backbone.abort()
        aborted.set()

    def run() -> None:
        for piece in backbone.generate(1, max_tokens=900):
            pieces.append(piece)
            if len(pieces) == 3:
                third.set()
                aborted.wait()

    thread = threading.Thread(target=abort_after_the_third)
    thread.start()
    with pytest.raises(ModelError) as caught:
        run()
    thread.join()
    assert caught.value.reason is Reason.ABORTED
    assert len(pieces) == 3
    assert backbone.n_past == len(ids) + 2  # the third piece was about to be decoded
    backbone.feed([[pieces[-1].token_id]])  # the context goes on from there
    assert next(backbone.generate(1, max_tokens=3)).token_id


def test_abort_while_idle_stops_the_next_call_unless_cleared(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    backbone.abort()
    with pytest.raises(ModelError) as caught:
        backbone.feed([ids])
    assert caught.value.reason is Reason.ABORTED
    assert backbone.n_past == 0
    backbone.feed([ids])  # the error has used the abort up
    backbone.abort()
    backbone.clear_abort()
    pieces = backbone.generate(1, max_tokens=3)
    next(pieces)
    backbone.rollback(0)
    backbone.feed([ids])
    backbone.abort()
    with pytest.raises(ModelError):
        next(backbone.generate(1, max_tokens=3))
