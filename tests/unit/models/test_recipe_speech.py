"""The speech recipes: text, what the soft decoder is taught, and learned rows. They need the train extra."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
onnx = pytest.importorskip("onnx", reason="the train extra is not installed")
pytest.importorskip("transformers", reason="the train extra is not installed")

from glasses.audio.sound_files import read_audio  # noqa: E402
from glasses.backbone.llama import LlamaBackbone  # noqa: E402
from glasses.connectors.soft_decoder import SoftDecoder  # noqa: E402
from glasses.encoders.audio import AudioEncoder  # noqa: E402
from glasses.evaluation.speech import items  # noqa: E402
from glasses.model_store import store, whisper_decoder_weights  # noqa: E402
from glasses.types import Latents  # noqa: E402
from models.recipes import soft_decoder_tail, speech_align, speech_text  # noqa: E402
from models.recipes.soft_decoder_model import Decoder, Tail  # noqa: E402
from quantize import whisper_decoder  # noqa: E402

pytestmark = pytest.mark.train

HELD_OUT = Path(__file__).parents[3] / "models" / "eval" / "speech"
SOURCE = "whisper-tiny-en-ct2"
TRAINED_ON = "whisper-tiny-en:0f1c498ba1e7df44"  # the encoder whose latents the rows behind the sound were learned from


@pytest.fixture(scope="module")
def source() -> Path:
    store.pull([SOURCE])
    return store.path_of(SOURCE, "model.bin")


@pytest.fixture(scope="module")
def never() -> list[int]:
    store.pull([SOURCE])
    return json.loads(store.path_of(SOURCE, "config.json").read_text())["suppress_ids"]


@pytest.fixture(scope="module")
def tail() -> dict[str, np.ndarray]:
    """The learned rows, out of the shipped graph."""
    graph = onnx.load(store.path_of("audio-words-pocket", "listener-begin.onnx"), load_external_data=False).graph
    held = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer if one.name.startswith("tail")}
    both = {role: np.stack([held[f"tail{i}.{role}"] for i in range(4)]) for role in "kv"}
    return {**both, "b": held["tail_bias"][:, :, 0]}


@pytest.fixture(scope="module")
def latents() -> list[np.ndarray]:
    encoder = AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1)
    return [encoder.encode(read_audio(HELD_OUT / item["file"])).data for item in items(HELD_OUT, "human")[:6]]


@pytest.mark.parametrize(
    ("raw", "spoken"),
    [
        ("How many days, then?", "how many days then?"),
        ("I'm late!", "I'm late."),
        ("Rooms 12 and 14", None),
        ("the NATO treaty", None),
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen", None),
    ],
)
def test_recipe_speech_sentences_are_written_as_they_are_spoken(raw: str, spoken: str | None) -> None:
    assert speech_text.normalise(raw) == spoken


def test_recipe_speech_no_sentence_is_in_both_sides_of_the_split() -> None:
    raw = [f"{a} {b} {c}" for a in ("look", "listen") for b in speech_text.THINGS for c in speech_text.FAMILY]
    train, test = speech_text.split([*raw, *(text.title() for text in raw)], random.Random(0))
    assert len(test) > 10
    assert not {text.lower() for text in train} & {text.lower() for text in test}


@pytest.mark.models
def test_recipe_speech_shipped_graphs_and_weights_are_reproduced(
    source: Path, never: list[int], tail: dict[str, np.ndarray], tmp_path: Path
) -> None:
    whisper_decoder_weights.make(source, tmp_path / "weights.bin")
    files = {file.name: file for file in store.load_manifest("audio-words-pocket").files}
    assert store.sha256_of(tmp_path / "weights.bin") == files[whisper_decoder.WEIGHTS].sha256
    held = whisper_decoder_weights.arrays(whisper_decoder_weights.read_tensors(source))
    space = AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8")).space
    for name, model in (
        ("begin", whisper_decoder.begin(held, tail, space, 768, trained_on=TRAINED_ON)),
        ("step", whisper_decoder.step(held, never)),
    ):
        onnx.save(model, tmp_path / "made.onnx")
        assert store.sha256_of(tmp_path / "made.onnx") == files[f"listener-{name}.onnx"].sha256


@pytest.mark.models
def test_recipe_speech_deployed_decoder_hears_what_the_trained_one_does(
    source: Path, never: list[int], tail: dict[str, np.ndarray], latents: list[np.ndarray]
) -> None:
    """Int8 with soft rows and float32 with chosen subwords give the same words of clear speech."""
    decoder = Decoder.load(source, never)
    learned = Tail(decoder, np.zeros((1500, 384), np.float32), tail["k"].shape[1])
    learned.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in tail.items()})
    names = ("listener-begin.onnx", "listener-step.onnx", whisper_decoder.WEIGHTS)
    listener = SoftDecoder(*(store.path_of("audio-words-pocket", name) for name in names))
    alike = total = 0
    for rows in latents:
        seen = decoder.look(*soft_decoder_tail.batch_of([rows[:, :384].copy()]), learned)
        (theirs,) = decoder.greedy(seen, 60)
        ours = [int(one.subwords[0]) for one in listener.decode(Latents(0, 0, "audio", rows, listener.space))]
        alike += sum(a == b for a, b in zip(ours, theirs, strict=False))
        total += max(len(ours), len(theirs))
    assert alike / total > 0.85


@pytest.mark.models
def test_recipe_speech_few_steps_teach_the_rows_to_end(
    source: Path, never: list[int], latents: list[np.ndarray]
) -> None:
    torch.manual_seed(0)
    decoder = Decoder.load(source, never)
    tail = Tail(decoder, np.random.default_rng(0).standard_normal((1500, 384)).astype(np.float32), 4)
    optimizer = torch.optim.Adam(tail.parameters(), lr=0.02)
    batch = [(rows[:, :384].copy(), [464, 4495 + i]) for i, rows in enumerate(latents)]
    losses = []
    for _ in range(12):
        loss = soft_decoder_tail.losses_of(decoder, tail, batch)[0].mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    figures = soft_decoder_tail.errors(decoder, tail, batch, [(rows, []) for rows, _ in batch])
    assert figures["subwords_wrong"] >= 0 <= figures["quiet_heard"] <= 1


class Near:
    """A backbone of two numbers a token, for which the rows before a reply decide its loss."""

    def ids(self, text: str) -> list[int]:
        return [len(word) for word in text.split()] or [0]

    def rows(self, text: str) -> Any:
        return torch.tensor([[float(one), 1.0] for one in self.ids(text)])

    def answer_loss(self, prompts: list[list[Any]], replies: list[list[int]]) -> Any:
        assert all(replies)
        return torch.stack([(parts[0].sum() - 1) ** 2 for parts in prompts]).mean()


def test_recipe_speech_only_rows_around_words_are_learned() -> None:
    rows = speech_align.Rows(torch.tensor([0.1, 0.2]))
    voices = [("man", torch.ones(2, 2)), ("woman", torch.ones(1, 2))]
    course = speech_align.Course(Near(), None, voices)  # pyright: ignore[reportArgumentType]
    clip = soft_decoder_tail.Clip(np.zeros((8, 4), np.int8), np.ones((8, 1), np.float16), "what is it?")
    words = np.ones((3, 2), np.float32)
    loss = speech_align.loss_of(rows, course, [(clip, words)] * 4, random.Random(0))
    loss.backward()
    assert rows.about.shape == (speech_align.N_ROWS, 2)
    assert rows.about.grad is not None
    assert rows.about.grad.abs().sum() > 0


@pytest.mark.models
def test_recipe_speech_frozen_backbone_spells_as_the_deployed_one(
    gguf_path: Path, shared_backbone: LlamaBackbone
) -> None:
    from models.recipes.frozen_backbone import open_backbone  # noqa: PLC0415  (slow)

    spells = speech_align.Spells(open_backbone(gguf_path))
    for text in (" capital", "What", "'s", " 42", ""):
        ids = spells.tokenize(text, special=False)
        assert ids == shared_backbone.tokenize(text, special=False)
        if ids:
            np.testing.assert_allclose(spells.token_rows(ids), shared_backbone.token_rows(ids), atol=2e-3)
