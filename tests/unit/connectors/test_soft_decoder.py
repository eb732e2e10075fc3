"""The soft decoder on the real network and real clips: what it reads, where it stops, and its vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.connectors.soft_decoder import MAX_VOCABULARY_BYTES, SoftDecoder, is_repeating, read_subwords
from glasses.encoders.audio import AudioEncoder
from glasses.errors import ModelError, Reason
from glasses.evaluation.speech import items, word_errors
from glasses.model_store import store

HELD_OUT = Path(__file__).parents[3] / "models" / "eval" / "speech"
NAME = "audio-words-pocket"
FILES = ("listener-begin.onnx", "listener-step.onnx", "whisper-tiny-en-decoder-int8.bin")


@pytest.fixture(scope="module")
def listener() -> SoftDecoder:
    return SoftDecoder(*(store.path_of(NAME, file) for file in FILES))


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    return AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1)


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    return read_subwords(store.path_of(NAME, "vocabulary.txt"))


@pytest.mark.models
def test_soft_decoder_clear_speech_is_decoded_word_for_word(
    listener: SoftDecoder, encoder: AudioEncoder, pieces: list[str]
) -> None:
    edits = words = 0
    for item in items(HELD_OUT, "human")[:10]:
        heard = listener.decode(encoder.encode(read_audio(HELD_OUT / item["file"])))
        text = "".join(pieces[one.subwords[0]] for one in heard)
        counted = word_errors(item["text"], text)
        edits, words = edits + counted[0], words + counted[1]
    assert edits / words < 0.1


@pytest.mark.models
def test_soft_decoder_each_subword_is_a_distribution_and_repeatable(
    listener: SoftDecoder, encoder: AudioEncoder
) -> None:
    latents = encoder.encode(read_audio(HELD_OUT / "question-090.ogg"))
    heard, again = listener.decode(latents), listener.decode(latents)
    assert len(heard) > 4
    for one, other in zip(heard, again, strict=True):
        assert len(one.subwords) == len(one.probabilities) <= 8
        assert len(set(one.subwords.tolist())) == len(one.subwords)
        assert (np.diff(one.probabilities) <= 0).all()
        assert 0 < one.probabilities[-1] <= one.probabilities.sum() <= 1 + 1e-5
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.models
@pytest.mark.parametrize("gain", [0.0, 0.001, 0.05])
def test_soft_decoder_silence_and_noise_give_nothing(listener: SoftDecoder, encoder: AudioEncoder, gain: float) -> None:
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    assert listener.decode(encoder.encode(gain * noise)) == []


@pytest.mark.models
def test_soft_decoder_after_the_first_sentence_goes_on(
    listener: SoftDecoder, encoder: AudioEncoder, pieces: list[str]
) -> None:
    said = items(HELD_OUT, "human")[:8]
    pause = np.zeros(4800, np.float32)
    pcm = np.concatenate([part for item in said for part in (read_audio(HELD_OUT / item["file"]), pause)])
    text = "".join(pieces[one.subwords[0]] for one in listener.decode(encoder.encode(pcm[: 30 * 16_000])))
    edits, words = word_errors(" ".join(item["text"] for item in said), text)
    assert edits / words < 0.1


@pytest.mark.parametrize(
    ("said", "round_and_round"),
    [
        ([], False),
        ([1, 1, 1], False),
        ([1, 1, 1, 1], True),
        ([9, 1, 2, 1, 2, 1, 2, 1, 2], True),
        ([1, 2, 1, 2, 1, 2, 1, 3], False),
        (list(range(12)) * 4, True),
        (list(range(13)) * 4, False),
    ],
)
def test_is_repeating_of_subwords_is_noticed(said: list[int], round_and_round: bool) -> None:
    assert is_repeating(said) is round_and_round


def test_read_subwords_of_a_vocabulary_reads_each_byte(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_text("!\nĠthe\nĊ\ncafÃ©\nÃ\n<|endoftext|>\n", encoding="utf-8")
    assert read_subwords(path) == ["!", " the", "\n", "café", "", "<|endoftext|>"]


@pytest.mark.parametrize("content", [b"\xff\xfe", "日本\n".encode()])
def test_read_subwords_of_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_subwords(path)
    assert caught.value.reason is Reason.CORRUPT
    path.write_bytes(b"!\n" * (MAX_VOCABULARY_BYTES // 2 + 1))
    with pytest.raises(ModelError) as caught:
        read_subwords(path)
    assert caught.value.reason is Reason.TOO_LARGE


def test_soft_decoder_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = store.path_of("audio-ambience-pocket")
    with pytest.raises(ModelError) as caught:
        SoftDecoder(other, other, tmp_path / "weights.bin")
    assert caught.value.reason is Reason.CORRUPT
    (tmp_path / "begin.onnx").write_bytes(store.path_of(NAME, "listener-begin.onnx").read_bytes())
    with pytest.raises(ModelError) as caught:  # its weights are not there
        SoftDecoder(tmp_path / "begin.onnx", other, tmp_path / "weights.bin")
    assert caught.value.reason is Reason.CORRUPT
