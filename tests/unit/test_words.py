"""The word connector: what a soft token is, and what the connector refuses. The real artifact on real clips."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from glasses import store
from glasses.backbone.llama import LlamaBackbone
from glasses.connectors.words import WordConnector, runs
from glasses.encoders.audio import AudioEncoder
from glasses.errors import ModelError, Reason
from glasses.media import read_audio
from glasses.types import Latents

HELD_OUT = Path(__file__).parents[2] / "models" / "eval" / "speech"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([5, 5, 0, 5], [(0, 2), (3, 4)]),
        ([0, 3, 4, 4, 0], [(1, 2), (2, 4)]),
        ([7], [(0, 1)]),
    ],
)
def test_runs_merge_repeats_and_drop_blanks(path: list[int], expected: list[tuple[int, int]]) -> None:
    assert runs(np.array(path, int)) == expected


@pytest.fixture(scope="module")
def connector(shared_backbone: LlamaBackbone) -> WordConnector:
    return WordConnector(store.path_of("audio-words-pocket"), shared_backbone.token_rows, n_threads=1)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1)


@pytest.mark.models
def test_speech_becomes_about_one_row_a_token(connector: WordConnector, encoder: AudioEncoder) -> None:
    items = [json.loads(line) for line in (HELD_OUT / "index.jsonl").read_text().splitlines()]
    spoken = [item for item in items if item["set"] == "question"][:10]
    rows = [len(connector.apply(encoder.encode(read_audio(HELD_OUT / item["file"])))) for item in spoken]
    words = [len(item["text"].split()) for item in spoken]
    assert sum(words) < sum(rows) < 4 * sum(words)


@pytest.mark.models
def test_silence_and_a_moment_too_short_have_no_words(connector: WordConnector, encoder: AudioEncoder) -> None:
    n_embd = connector.apply(encoder.encode(np.zeros(640, np.float32))).shape[1]
    assert n_embd == 576
    assert len(connector.apply(encoder.encode(np.zeros(3 * 16_000, np.float32)))) == 0


@pytest.mark.models
def test_rows_lie_where_the_backbone_expects_tokens(
    connector: WordConnector, encoder: AudioEncoder, shared_backbone: LlamaBackbone
) -> None:
    rows = connector.apply(encoder.encode(read_audio(HELD_OUT / "question-090.ogg")))
    table = shared_backbone.token_rows(connector.token_ids)
    ratio = np.sqrt((rows**2).mean()) / np.sqrt((table**2).mean())
    assert 0.5 < ratio < 2


@pytest.mark.models
def test_latents_of_another_space_are_refused(connector: WordConnector, encoder: AudioEncoder) -> None:
    latents: Latents = encoder.encode(np.zeros(16_000, np.float32))
    with pytest.raises(ModelError) as caught:
        connector.apply(dataclasses.replace(latents, space="whisper-tiny-en:0000000000000000"))
    assert caught.value.reason is Reason.WRONG_SPACE
