"""The speech connector: what its soft tokens are, and what it refuses. The real artifact on real clips."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.backbone.llama import LlamaBackbone
from glasses.connectors.soft_decoder import SoftSubword
from glasses.connectors.speech import SpeechConnector, read_task_prefix
from glasses.encoders.audio import AudioEncoder
from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.runtime.bundle import open_connector
from glasses.types import Latents

HELD_OUT = Path(__file__).parents[3] / "models" / "eval" / "speech"


@pytest.fixture(scope="module")
def connector(shared_backbone: LlamaBackbone) -> SpeechConnector:
    return cast(SpeechConnector, open_connector("audio-words-pocket", shared_backbone, shared_backbone.sha256, 1))


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1)


@pytest.mark.models
def test_speech_connector_speech_gives_about_one_row_a_token(connector: SpeechConnector, encoder: AudioEncoder) -> None:
    items = [json.loads(line) for line in (HELD_OUT / "index.jsonl").read_text().splitlines()]
    spoken = [item for item in items if item["set"] == "question"][:10]
    rows = [connector.apply(encoder.encode(read_audio(HELD_OUT / item["file"]))) for item in spoken]
    n_soft = sum(map(len, rows))
    words = [len(item["text"].split()) for item in spoken]
    assert sum(words) < n_soft < 2 * sum(words)


@pytest.mark.models
def test_speech_connector_silence_and_too_short_sound_have_no_words(
    connector: SpeechConnector, encoder: AudioEncoder
) -> None:
    assert connector.apply(encoder.encode(np.zeros(640, np.float32))).shape == (0, 576)
    assert len(connector.apply(encoder.encode(np.zeros(3 * 16_000, np.float32)))) == 0


@pytest.mark.models
def test_speech_connector_clear_question_is_spelled_as_it_was_heard(
    connector: SpeechConnector, encoder: AudioEncoder, shared_backbone: LlamaBackbone
) -> None:
    rows = connector.apply(encoder.encode(read_audio(HELD_OUT / "question-090.ogg")))
    typed = shared_backbone.tokenize("What is the capital of France?", special=False)
    assert len(rows) == len(typed)
    exact = shared_backbone.token_rows(typed)
    cosine = (rows * exact).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.7, "each row lies by its token's"
    assert not np.array_equal(rows, exact), "and none is chosen"


@pytest.mark.models
def test_speech_connector_with_other_token_rows_uses_them(
    connector: SpeechConnector, encoder: AudioEncoder, shared_backbone: LlamaBackbone
) -> None:
    class Loud:
        def tokenize(self, text: str, *, special: bool = True) -> list[int]:
            return shared_backbone.tokenize(text, special=special)

        def token_rows(self, ids: Sequence[int]) -> np.ndarray:
            return 2 * shared_backbone.token_rows(ids)

    latents = encoder.encode(read_audio(HELD_OUT / "question-090.ogg"))
    ours, theirs = (c.apply(latents) for c in (connector, connector.with_token_rows(Loud())))
    np.testing.assert_allclose(theirs, 2 * ours, rtol=1e-6)


@pytest.mark.models
def test_speech_connector_punctuation_and_unsure_words_are_no_speech(connector: SpeechConnector) -> None:
    def heard(piece: int, share: float) -> SoftSubword:
        return SoftSubword(np.array([piece]), np.array([share], np.float32))

    full_stop, word = 13, 1000
    assert not connector.is_speech([])
    assert not connector.is_speech([heard(full_stop, 0.9)] * 5)
    assert not connector.is_speech([heard(word, 0.1)])
    assert connector.is_speech([heard(word, 0.9)])


@pytest.mark.models
def test_speech_connector_latents_of_another_space_are_refused(
    connector: SpeechConnector, encoder: AudioEncoder
) -> None:
    latents: Latents = encoder.encode(np.zeros(16_000, np.float32))
    with pytest.raises(ModelError) as caught:
        connector.apply(dataclasses.replace(latents, space="whisper-tiny-en:0000000000000000"))
    assert caught.value.reason is Reason.WRONG_SPACE


@pytest.mark.models
def test_open_connector_rows_learned_for_another_backbone_are_refused(shared_backbone: LlamaBackbone) -> None:
    with pytest.raises(ModelError) as caught:
        open_connector("audio-words-desk", shared_backbone, shared_backbone.sha256, 1)
    assert caught.value.reason is Reason.WRONG_SPACE


@pytest.mark.parametrize(
    "arrays",
    [
        {"about": np.zeros((2, 4))},
        {"about": np.zeros(4), "space": np.array("a")},
        {"about": np.full((2, 4), np.nan), "space": np.array("a")},
        {"about": np.array(["text"]), "space": np.array("a")},
    ],
)
def test_read_task_prefix_damaged_file_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "about.npz", allow_pickle=False, **arrays)
    for content in (None, b"no npz", b""):
        if content is not None:
            (tmp_path / "about.npz").write_bytes(content)
        with pytest.raises(ModelError) as caught:
            read_task_prefix(tmp_path / "about.npz")
        assert caught.value.reason is Reason.CORRUPT
