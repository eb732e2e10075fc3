"""The Tokenizer API on llama.cpp: text stays as it was; added tokens are called, listed, kept and baked in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from service_fixtures import Served, served, small_caps, small_parts

from glasses.backbone.kv_values import values_of
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason, RemoteError
from glasses.service.client.client import Client
from glasses.service.engines.llama import LlamaEngine
from glasses.service.protocol.messages import AddToken, Example, ListTokens, RemoveToken
from glasses.service.server.service import Service
from glasses.service.tokens import added_tokens
from glasses.service.tokens.bake import bake
from glasses.types import Token

pytestmark = pytest.mark.models
CALLS = ("Bark like a dog.", "Bark!", "Make a dog sound.", "Can you bark?", "Play the sound of a dog.")
OTHERS = ("What is the capital of France?", "Good morning!", "Write a poem.", "How do plants grow?", "I am tired.")
EXAMPLES = [Example(text, "<dog>") for text in CALLS] + [Example(text) for text in OTHERS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture
def service(gguf_path: Path, folder: Path, tmp_path: Path) -> Iterator[Served]:
    def make() -> Service:
        opened = lambda: LlamaEngine(small_parts(gguf_path, folder)[0])  # noqa: E731
        return Service(opened, backend="llama", tokens=tmp_path / "t.tokens", caps=small_caps())

    with served(make, tmp_path) as running:
        yield running


async def said(client: Client, text: str, n: int = 6) -> list[Token]:
    session = await client.open()
    await session.feed(text)
    pieces = [piece async for piece in session.generate(max_tokens=n, latents=True, top_k=4)]
    await session.close()
    return pieces


def test_tokens_api_adds_trains_keeps_and_removes(service: Served, tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        before = [await said(client, text) for text in OTHERS[:2]]
        await client.tokens(AddToken(0, "<dog>", "bark like a dog", decoder="sound"))
        for ask in (AddToken(0, "<dog>", "again"), RemoveToken(0, "<cat>")):
            with pytest.raises(RemoteError) as caught:
                await client.tokens(ask)
            assert caught.value.reason in (Reason.BAD_INPUT, Reason.NOT_FOUND)
        assert [p.token_id for p in await said(client, OTHERS[0])] == [p.token_id for p in before[0]]
        trained = await client.train_tokens(EXAMPLES)
        assert trained.accuracy == 1.0
        assert [(t.name, t.id, t.version) for t in trained.tokens] == [("<dog>", 49_152, 1)]
        for text, old in zip(OTHERS, before, strict=False):
            for new_piece, old_piece in zip(await said(client, text), old, strict=True):
                assert new_piece.token_id == old_piece.token_id
                assert new_piece.latent is not None
                assert np.array_equal(new_piece.latent, old_piece.latent)  # type: ignore[arg-type]
        called = await said(client, CALLS[0])
        assert [(p.token_id, p.text, p.last) for p in called] == [(49_152, "<dog>", True)]
        await client.tokens(RemoveToken(0, "<dog>"))
        assert (await said(client, CALLS[0]))[0].token_id != 49_152
        await client.tokens(AddToken(0, "<cow>", "moo"))
        assert [t.id for t in (await client.tokens(ListTokens(0))).tokens] == [49_153]

    service.with_client("unix", scenario)
    table = added_tokens.load(tmp_path / "t.tokens", service.service.host.loaded.backbone.sha256, 49_152, 576)
    assert [t.name for t in table.tokens] == ["<cow>"]
    assert np.array_equal(table.deep, np.zeros((1, 3 * 2 * 192 + 1)))


def test_train_tokens_without_calls_or_silence_is_refused(service: Served) -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(RemoteError) as caught:
            await client.train_tokens(EXAMPLES)
        assert caught.value.reason is Reason.NOT_FOUND
        await client.tokens(AddToken(0, "<dog>", "bark"))
        for examples in (EXAMPLES[:5], EXAMPLES[5:], [*EXAMPLES, Example("x", "<cat>")]):
            with pytest.raises(RemoteError) as caught:
                await client.train_tokens(examples)
            assert caught.value.reason in (Reason.BAD_INPUT, Reason.NOT_FOUND)

    service.with_client("in process", scenario)


def test_llama_engine_values_read_between_feeds_leave_logits_unchanged(folder: Path, gguf_path: Path) -> None:
    engine = LlamaEngine(small_parts(gguf_path, folder)[0])
    plain, read = engine.copy(engine.chat), engine.copy(engine.chat)
    seen: list[tuple[int, np.ndarray]] = []
    for text in (*OTHERS[:2], " and", " then"):
        part = engine.loaded.backbone.tokenize(text)
        expected, got = engine.feed(plain, [part], hidden=True), engine.feed(read, [part], hidden=True)
        assert np.array_equal(got.logits, expected.logits)
        values = engine.values(read)
        assert values is not None
        assert values.shape == (3 * 2 * 192,)
        seen.append((read.n_past, values))
    for n_past, values in reversed(seen):
        engine.truncate(read, n_past)
        assert np.array_equal(engine.values(read), values)  # type: ignore[arg-type]
    assert not np.array_equal(seen[0][1], seen[1][1])
    engine.close()


@pytest.mark.parametrize("harm", [lambda s: s[:-1], lambda s: s[:20], lambda s: b"x" + s[1:], lambda s: s + b"0"])
def test_values_of_unknown_cache_layout_raises_unsupported(
    gguf_path: Path, folder: Path, harm: Callable[[bytes], bytes]
) -> None:
    parts = small_parts(gguf_path, folder)[0]
    state = bytes(parts.backbone.snapshot().kv)
    assert values_of(state, parts.backbone.n_past, (1,)).shape == (3 * 192,)
    for bad, n_rows in ((harm(state), parts.backbone.n_past), (state, parts.backbone.n_past - 1), (state, 0)):
        with pytest.raises(ModelError) as caught:
            values_of(bad, n_rows, (6, 1))
        assert caught.value.reason is Reason.UNSUPPORTED
    parts.close()


def test_bake_token_table_gives_the_scores_of_the_table(folder: Path, gguf_path: Path, tmp_path: Path) -> None:
    parts, gguf = small_parts(gguf_path, folder)
    parts.close()
    rng = np.random.default_rng(0)
    info = added_tokens.TokenInfo(name="<dog>", id=0, meaning="bark", version=0)
    table = added_tokens.AddedTokens.empty(49_152, 576).add([info], rng.normal(size=576).astype(np.float32) * 0.1)
    table = table.trained(table.rows, rng.normal(size=(1, 576)).astype(np.float32) * 0.1)
    bake(gguf, table, tmp_path / "baked.gguf")
    with (
        LlamaBackbone(gguf, n_ctx=64, n_threads=1) as old,
        LlamaBackbone(tmp_path / "baked.gguf", n_ctx=64, n_threads=1) as new,
    ):
        assert new.n_vocab == 49_153
        assert new.detokenize([49_152], special=True) == "<dog>"
        text = old.tokenize("The quick brown fox")
        hidden = old.feed([text], hidden="last")
        new.feed([text], hidden="last")
        assert hidden is not None
        assert np.array_equal(new.logits()[:49_152], old.logits())
        assert new.logits()[49_152] == pytest.approx(
            float(table.scores(hidden[0], first=True, opened=None)[0]), abs=0.3
        )
        assert np.abs(new.token_rows([49_152])[0] - table.rows[0]).max() < 0.03
