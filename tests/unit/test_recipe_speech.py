"""The speech recipe: text, pieces, and that what is exported computes what was trained. Needs the train extra."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from glasses.backbone.llama import LlamaBackbone  # noqa: E402
from glasses.connectors.words import WordConnector  # noqa: E402
from glasses.types import Latents  # noqa: E402
from models.recipes import speech_text  # noqa: E402
from models.recipes.latent_shards import pad  # noqa: E402
from models.recipes.pieces import SPACE, Pieces  # noqa: E402
from models.recipes.speech_connector import (  # noqa: E402
    LETTERS,
    STACK,
    SpeechConnector,
    collapse,
    scores,
    soft_rows,
    spelled,
)
from models.recipes.speech_export import build  # noqa: E402
from quantize.graph import save_int8  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def tokenizer(gguf_path: Path) -> object:
    from transformers import AutoTokenizer  # noqa: PLC0415  # pyright: ignore[reportMissingImports]  (slow)

    return AutoTokenizer.from_pretrained(str(gguf_path.parent), gguf_file=gguf_path.name)


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
def test_sentences_are_written_as_they_are_spoken(raw: str, spoken: str | None) -> None:
    assert speech_text.normalise(raw) == spoken


def test_no_sentence_is_on_both_sides() -> None:
    raw = [f"{a} {b} {c}" for a in ("look", "listen") for b in speech_text.THINGS for c in speech_text.FAMILY]
    train, test = speech_text.split([*raw, *(text.title() for text in raw)], random.Random(0))
    assert len(test) > 10
    assert not {text.lower() for text in train} & {text.lower() for text in test}


@pytest.mark.models
def test_pieces_spell_every_word_and_only_with_allowed_tokens(tokenizer: object) -> None:
    sentences = ["what is that sound?", "what is that bird?", "the bird is there."] * 4
    pieces = Pieces.learn(tokenizer, sentences, min_count=6)
    cut = pieces.encode("what is that quokka?")
    assert "".join(pieces.strings[p] for p in cut).replace(SPACE, " ") == " what is that quokka?"
    assert pieces.strings[cut[0]] == SPACE + "what"
    assert pieces.strings[cut[-1]] == "?"


def test_collapse_keeps_runs() -> None:
    assert collapse([0, 3, 3, 0, 3, 5]) == [(2, 1, 3), (2, 4, 5), (4, 5, 6)]


def test_letters_of_a_sentence_and_of_silence() -> None:
    assert "".join(LETTERS[i - 1] for i in spelled("I'm here, John?")) == "i'm here john"
    assert spelled("") == []


def test_padding_is_masked() -> None:
    batch, mask = pad([np.ones((9, 768), np.float32), np.ones((4, 768), np.float32)], STACK)
    assert batch.shape == (2, 8, 768)
    assert mask.tolist() == [[True, True], [True, False]]
    torch.manual_seed(0)
    model = SpeechConnector(32, width=24, depth=2, n_head=2).eval()
    together = model(batch, mask).states[1, :1]
    alone = model(batch[1:, :4]).states[0]
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.models
def test_the_exported_connector_mixes_the_rows_that_were_trained(
    shared_backbone: LlamaBackbone, tokenizer: object, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    token_ids = list(range(300, 700))
    model = SpeechConnector(shared_backbone.n_embd, width=48, depth=2, n_head=2).eval()
    torch.nn.init.normal_(model.residual.weight, std=0.01)
    model.place_rows(torch.randn(shared_backbone.n_embd))
    save_int8(build(model, space="test:0", token_ids=token_ids, closing=[]), tmp_path / "words.onnx")
    connector = WordConnector(tmp_path / "words.onnx", shared_backbone.token_rows, n_threads=1)
    latents = np.random.default_rng(0).standard_normal((102, 768)).astype(np.float32)
    ours = connector.apply(Latents(0, 0, "audio", latents, "test:0"))
    table = torch.from_numpy(shared_backbone.token_rows(token_ids).copy())
    with torch.inference_mode():
        heard = model(torch.from_numpy(latents)[None])
        rows = soft_rows(scores(heard.states, heard.blank, table)[0].softmax(-1), heard.residual[0], table)
        trained = torch.cat([model.begin, rows, model.end]).numpy()
    assert len(ours) == len(trained) > 8
    # int8 weights move a row a little; most rows must stay where they were trained.
    cosine = (ours * trained).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(trained, axis=1)
    assert np.median(cosine) > 0.95
