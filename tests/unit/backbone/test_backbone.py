"""The backbone on the real model: streaming, latents out, rollback, and every kind of bad input."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.backbone import sampling
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.native import drain_errors
from glasses.errors import GlassesError, InputError, ModelError, Reason
from glasses.types import Token

pytestmark = pytest.mark.models
PROMPT = "<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n"


def reason_of(call: Callable[[], Any]) -> Reason:
    with pytest.raises(GlassesError) as caught:
        call()
    return caught.value.reason


def reply(backbone: LlamaBackbone, prompt: str = PROMPT, **options: Any) -> list[Token]:
    backbone.rollback(0)
    backbone.feed([backbone.tokenize(prompt)])
    return list(backbone.generate(7, **{"max_tokens": 16, **options}))


def test_backbone_opened_reports_its_sizes_and_end_tokens(backbone: LlamaBackbone):
    assert (backbone.n_embd, backbone.n_vocab, backbone.n_ctx, backbone.n_past) == (576, 49152, 1024, 0)
    assert set(backbone.tokenize("<|im_end|><|endoftext|>")) <= backbone.eos
    assert len(backbone.sha256) == 64


@pytest.mark.parametrize(
    "text",
    ["", "Hello, wearer", "naïve café 日本語", "👍🏽 🧑‍🚀", "tab\tnul\0end"],
    ids=["empty", "ascii", "accents and kanji", "emoji", "control characters"],
)
def test_tokenize_then_detokenize_loses_nothing(backbone: LlamaBackbone, text: str):
    assert backbone.detokenize(backbone.tokenize(text)) == text


def test_tokenize_of_untrusted_text_gives_no_control_tokens(backbone: LlamaBackbone):
    assert len(backbone.tokenize("<|im_start|>")) == 1
    plain = backbone.tokenize("<|im_start|>", special=False)
    assert len(plain) > 1
    assert backbone.detokenize(plain) == "<|im_start|>"


def test_tokenize_text_that_cannot_be_tokenized_is_refused(backbone: LlamaBackbone):
    with pytest.raises(InputError, match="surrogate"):
        backbone.tokenize("\ud800")
    assert reason_of(lambda: backbone.tokenize("a" * 300_000)) is Reason.TOO_LARGE
    assert reason_of(lambda: backbone.detokenize([49152])) is Reason.BAD_INPUT


def test_generate_streamed_text_is_the_detokenized_ids(backbone: LlamaBackbone):
    pieces = reply(backbone, max_tokens=24)
    ids = [p.token_id for p in pieces]
    assert "".join(p.text for p in pieces) == backbone.detokenize(ids)
    assert [p.last for p in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {p.turn_id for p in pieces} == {7}
    assert backbone.n_past == len(backbone.tokenize(PROMPT)) + len(pieces) - 1


def test_generate_character_that_spans_tokens_is_never_split(backbone: LlamaBackbone):
    line = "🦩🦩🦩🦩🦩🦩🦩🦩"
    assert len(backbone.tokenize("🦩")) > 1
    pieces = reply(backbone, f"{line}\n{line}\n{line}\n", max_tokens=12)
    assert "".join(p.text for p in pieces[:8]).startswith("🦩")
    assert all("\ufffd" not in p.text for p in pieces[:-1])
    assert any(p.text == "" for p in pieces)  # the bytes held back
    assert "".join(p.text for p in pieces) == backbone.detokenize([p.token_id for p in pieces])


def test_generate_end_token_comes_last_and_has_no_text(backbone: LlamaBackbone):
    pieces = reply(backbone, "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n", max_tokens=200)
    assert pieces[-1].token_id in backbone.eos
    assert (pieces[-1].text, pieces[-1].last) == ("", True)


def test_generate_logprobs_are_of_the_full_softmax(backbone: LlamaBackbone):
    """The sampler's own changes of the distribution do not show in the log probabilities."""
    backbone.feed([backbone.tokenize(PROMPT)])
    exact = sampling.log_softmax(backbone.logits())
    assert np.exp(exact.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)
    first = next(backbone.generate(1, max_tokens=2, top_k=5, temperature=1.5, repetition_penalty=1.3, seed=4))
    assert first.logprob == pytest.approx(float(exact[first.token_id]))
    assert [token for token, _ in first.top] == list(np.argsort(-exact, kind="stable")[:5])
    assert first.top[0][1] >= first.top[1][1]


def test_generate_same_seed_repeats_and_greedy_takes_the_most_likely(backbone: LlamaBackbone):
    assert reply(backbone, temperature=1.0, seed=3) == reply(backbone, temperature=1.0, seed=3)
    assert reply(backbone, temperature=1.0, seed=3) != reply(backbone, temperature=1.0, seed=4)
    assert all(p.token_id == p.top[0][0] for p in reply(backbone, top_k=1))
    greedy = [p.token_id for p in reply(backbone)]
    assert [p.token_id for p in reply(backbone, temperature=1.0, top_p=1e-6)] == greedy


def test_generate_repetition_penalty_breaks_a_loop(backbone: LlamaBackbone):
    prompt = "one two one two one two one two one two one two one two one two one"
    assert len({p.token_id for p in reply(backbone, prompt)}) < 5
    assert len({p.token_id for p in reply(backbone, prompt, repetition_penalty=2.0)}) > 10


def test_generate_latents_reproduce_the_logits_of_every_token(backbone: LlamaBackbone):
    plain = reply(backbone, max_tokens=6)
    backbone.rollback(0)
    backbone.feed([backbone.tokenize(PROMPT)], hidden="last")
    pieces = list(backbone.generate(7, max_tokens=6, want_latents=True, top_k=1))
    assert [(p.token_id, p.logprob) for p in pieces] == [(p.token_id, p.logprob) for p in plain]
    classifier = backbone.token_rows(range(backbone.n_vocab))  # the table is tied: it is the classifier as well
    for piece in pieces:
        assert piece.latent is not None
        assert piece.latent.shape == (576,)
        assert not piece.latent.flags.writeable
        logprobs = sampling.log_softmax(classifier @ piece.latent)
        assert int(logprobs.argmax()) == piece.top[0][0]
        # llama.cpp rounds the hidden state to 8 bits before it multiplies
        assert float(logprobs[piece.token_id]) == pytest.approx(piece.logprob, abs=0.05)


def test_feed_hidden_states_of_all_rows_and_of_the_last_agree(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT * 6)
    assert len(ids) > 64
    every = backbone.feed([ids], hidden="all")
    assert every is not None
    assert every.shape == (len(ids), 576)
    backbone.rollback(0)
    last = backbone.feed([ids], hidden="last")
    assert last is not None
    cosine = last[0] @ every[-1] / np.linalg.norm(last[0]) / np.linalg.norm(every[-1])
    assert cosine > 0.999  # other batch shapes, so other last bits


def test_rollback_then_the_same_input_gives_identical_results(backbone: LlamaBackbone):
    system, question = backbone.tokenize("<|im_start|>system\nBe brief.<|im_end|>\n"), backbone.tokenize(PROMPT)
    backbone.feed([system])
    backbone.feed([question])
    first = list(backbone.generate(1, max_tokens=12))
    backbone.rollback(len(system))
    assert backbone.n_past == len(system)
    backbone.feed([question])
    assert list(backbone.generate(1, max_tokens=12)) == first
    assert reason_of(lambda: backbone.rollback(backbone.n_past + 1)) is Reason.BAD_INPUT
    assert reason_of(lambda: backbone.rollback(-1)) is Reason.BAD_INPUT


def bad_parts() -> dict[str, tuple[Any, Reason]]:
    nan = np.zeros((3, 576), np.float32)
    nan[1, 7] = np.nan
    return {
        "nothing": ([], Reason.BAD_INPUT),
        "only empty parts": ([[], np.zeros((0, 576), np.float32)], Reason.BAD_INPUT),
        "NaN": ([nan], Reason.BAD_INPUT),
        "infinite": ([np.full((1, 576), np.inf, np.float32)], Reason.BAD_INPUT),
        "huge": ([np.full((1, 576), 1e30, np.float32)], Reason.BAD_INPUT),
        "too wide": ([np.zeros((2, 577), np.float32)], Reason.BAD_INPUT),
        "one row without its axis": ([np.zeros(576, np.float32)], Reason.BAD_INPUT),
        "float64": ([np.zeros((2, 576))], Reason.BAD_INPUT),
        "float16": ([np.zeros((2, 576), np.float16)], Reason.BAD_INPUT),
        "other byte order": ([np.zeros((2, 576), ">f4")], Reason.BAD_INPUT),
        "ragged": ([[[1.0], [1.0, 2.0]]], Reason.BAD_INPUT),
        "negative token": ([[5, -1]], Reason.BAD_INPUT),
        "token past the vocabulary": ([[49152]], Reason.BAD_INPUT),
        "enormous token": ([[2**70]], Reason.BAD_INPUT),
        "text": (["hello"], Reason.BAD_INPUT),
        "good then bad": ([[5, 6], nan], Reason.BAD_INPUT),
        "too long": ([np.zeros((1025, 576), np.float32)], Reason.CONTEXT_FULL),
        "too long together": ([[5] * 600, [6] * 600], Reason.CONTEXT_FULL),
    }


@pytest.mark.parametrize("kind", bad_parts())
def test_feed_bad_parts_are_refused_and_the_context_is_untouched(backbone: LlamaBackbone, kind: str):
    parts, reason = bad_parts()[kind]
    ids = backbone.tokenize(PROMPT)
    backbone.feed([ids])
    before = backbone.logits()
    assert reason_of(lambda: backbone.feed(parts)) is reason
    assert backbone.n_past == len(ids)
    assert backbone.logits() is before
    assert next(backbone.generate(7, max_tokens=2)).token_id == int(before.argmax())
    backbone.feed([ids[:1]])


def test_feed_strided_or_read_only_latents_are_accepted(backbone: LlamaBackbone):
    ids = backbone.tokenize(PROMPT)
    rows = backbone.token_rows(ids)
    backbone.feed([rows])
    expected = backbone.logits()
    wide = np.zeros((len(ids) * 2, 1152), np.float32)
    wide[::2, ::2] = rows
    wide.flags.writeable = False
    backbone.rollback(0)
    backbone.feed([wide[::2, ::2]])
    assert np.abs(expected - backbone.logits()).max() == 0.0


def test_feed_context_can_be_filled_to_the_last_row(gguf_path: Path):
    with LlamaBackbone(gguf_path, n_ctx=256, n_threads=1) as small:
        small.feed([[5] * 254])
        pieces = list(small.generate(1, max_tokens=50))
        assert [p.last for p in pieces] == [False, False, True]
        assert small.n_past == small.n_ctx == 256
        assert reason_of(lambda: small.feed([[5]])) is Reason.CONTEXT_FULL
        assert len(list(small.generate(1, max_tokens=50))) == 1


def test_generate_bad_options_are_refused_at_once(backbone: LlamaBackbone):
    assert reason_of(lambda: backbone.generate(1, max_tokens=5)) is Reason.BAD_INPUT  # nothing fed
    backbone.feed([backbone.tokenize(PROMPT)])
    for options in ({"max_tokens": 0}, {"top_k": -1}, {"temperature": -1.0}, {"temperature": np.nan}, {"top_p": 0.0}):
        assert reason_of(lambda o=options: backbone.generate(1, **{"max_tokens": 5, **o})) is Reason.BAD_INPUT
    assert reason_of(lambda: backbone.generate(1, max_tokens=5, want_latents=True)) is Reason.BAD_INPUT


def test_generate_context_used_by_somebody_else_is_noticed(backbone: LlamaBackbone):
    backbone.feed([backbone.tokenize(PROMPT)])
    pieces = backbone.generate(1, max_tokens=9)
    next(pieces)
    backbone.rollback(3)
    with pytest.raises(RuntimeError, match="while this generation ran"):
        next(pieces)


def test_backbone_called_from_another_thread_raises(backbone: LlamaBackbone):
    backbone.feed([backbone.tokenize(PROMPT)])
    seen: list[BaseException] = []

    def call(action: Callable[[], Any]) -> None:
        try:
            action()
        except RuntimeError as error:
            seen.append(error)

    actions = [lambda: backbone.feed([[5]]), lambda: backbone.rollback(0), backbone.close]
    for action in actions:
        thread = threading.Thread(target=call, args=(action,))
        thread.start()
        thread.join()
    assert len(seen) == len(actions)
    assert reply(backbone, max_tokens=2)


def test_backbone_file_that_is_no_model_is_refused(gguf_path: Path, tmp_path: Path):
    assert reason_of(lambda: LlamaBackbone(tmp_path / "absent.gguf")) is Reason.NOT_FOUND
    text, empty, short = tmp_path / "text.gguf", tmp_path / "empty.gguf", tmp_path / "short.gguf"
    text.write_text("this is not a model\n" * 100)
    empty.touch()
    with gguf_path.open("rb") as file:
        short.write_bytes(file.read(20_000_000))
    for path in (text, empty, short):
        assert reason_of(lambda p=path: LlamaBackbone(p)) is Reason.CORRUPT
    assert reason_of(lambda: LlamaBackbone(gguf_path, n_ctx=9000)) is Reason.BAD_INPUT
    assert reason_of(lambda: LlamaBackbone(gguf_path, n_threads=0)) is Reason.BAD_INPUT


def test_backbone_closed_raises_and_writes_nothing_to_stderr(
    gguf_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    with LlamaBackbone(gguf_path, n_ctx=256, n_threads=1) as opened:
        opened.feed([opened.tokenize(PROMPT)])
    assert capfd.readouterr() == ("", "")
    opened.close()
    for action in (lambda: opened.feed([[5]]), lambda: opened.tokenize("a"), lambda: opened.rollback(0)):
        with pytest.raises(RuntimeError, match="closed"):
            action()
    with caplog.at_level(logging.DEBUG, "glasses.llama_cpp"):
        LlamaBackbone(gguf_path, n_ctx=256).close()
    assert any("SmolLM2" in record.message or "Smollm2" in record.message for record in caplog.records)


def test_backbone_abort_is_no_error_in_the_log(
    backbone: LlamaBackbone, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    backbone.abort()
    assert reason_of(lambda: backbone.feed([backbone.tokenize(PROMPT)])) is Reason.ABORTED
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert capfd.readouterr() == ("", "")
    assert "failed" not in drain_errors()


def test_backbone_open_error_carries_the_reason_of_llama_cpp(tmp_path: Path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    with pytest.raises(ModelError, match=r"(?i)gguf.*: .*(version|gguf)"):
        LlamaBackbone(tmp_path / "bad.gguf")
