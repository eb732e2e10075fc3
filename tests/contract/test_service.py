"""One suite for every transport and engine, with the real encoders and connectors of the pocket bundle.

Transports: in process, Unix socket, TCP + TLS, mutual TLS. Engines: llama.cpp and (with the extra `train`) torch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import service_fixtures
from service_fixtures import Served, served, small_caps, small_llama, small_parts, small_torch

from glasses.backbone.prompt import SYSTEM
from glasses.backbone.prompt_format import CHATML
from glasses.errors import ModelError, Reason, RemoteError
from glasses.service.client.client import Client, RemoteSession
from glasses.service.engines.engine import Context
from glasses.service.engines.llama import LlamaEngine
from glasses.service.protocol import messages
from glasses.service.protocol.messages import Example
from glasses.service.server.service import Service
from glasses.types import Latents, Token

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("error")]
QUESTION = "What is the capital of France?"


BACKENDS = {
    "llama": {"latent", "hidden", "tokens"},
    "torch": {"latent", "hidden", "tokens", "token rows", "gradient"},
}
WAYS = ("in process", "unix", "tls", "mutual tls")


@pytest.fixture(scope="module", params=["llama", pytest.param("torch", marks=pytest.mark.train)])
def service(
    gguf_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("service")
    opener = {"llama": small_llama, "torch": small_torch}[request.param]
    make = lambda: Service(opener(gguf_path, folder), backend=request.param, caps=small_caps())  # noqa: E731
    with served(make, folder) as running:
        yield running


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


def greedy(service: Service, text: str, n: int, top_k: int) -> list[Token]:
    """The backbone's own answer, with no service around it."""
    if "gradient" in service.host.engine.can:
        return service_fixtures.greedy_torch(service.host.engine, text, n, top_k)
    backbone = service.host.loaded.backbone
    backbone.rollback(0)
    service.host.engine._resident = None  # type: ignore[attr-defined]  # its context is ours now
    backbone.feed([backbone.tokenize(text)])
    return list(backbone.generate(1, max_tokens=n, top_k=top_k))


async def collect(session: RemoteSession, **how: object) -> list[Token]:
    return [piece async for piece in session.generate(**how)]  # type: ignore[arg-type]


def text_of(pieces: list[Token]) -> str:
    return "".join(piece.text for piece in pieces)


def test_session_answers_as_the_backbone_itself(service: Served, way: str) -> None:
    text = CHATML.prefix(SYSTEM) + QUESTION + CHATML.suffix

    async def scenario(client: Client) -> tuple[list[Token], list[Token]]:
        session = await client.open()
        await session.feed(QUESTION)
        got = await collect(session, max_tokens=12, top_k=3)
        return got, await service.service.host.run("test", lambda: greedy(service.service, text, 12, 3))

    got, expected = service.with_client(way, scenario)
    assert [(p.token_id, p.text, p.last) for p in got] == [(p.token_id, p.text, p.last) for p in expected]
    assert np.allclose([p.logprob for p in got], [p.logprob for p in expected], atol=1e-3)
    assert [[t for t, _ in p.top] for p in got] == [[t for t, _ in p.top] for p in expected]


def test_feed_of_text_tokens_or_rows_gives_the_same_answer(service: Served, way: str) -> None:
    text = "Once upon a time there was"

    async def scenario(client: Client) -> list[list[Token]]:
        ids, rows = await client.tokenize(text)
        out = []
        for given in (text, ids, rows):
            session = await client.open(chat=False, latents=True)
            assert await session.feed(given) == len(ids)
            out.append(await collect(session, max_tokens=6, latents=True))
            await session.close()
        return out

    as_text, *others = service.with_client(way, scenario)
    for other in others:
        assert [p.token_id for p in other] == [p.token_id for p in as_text]
        for a, b in zip(as_text, other, strict=True):
            assert a.latent is not None
            assert b.latent is not None
            distance = float(np.abs(a.latent - b.latent).max())
            # llama.cpp's own rows are fed; torch's are rounded from the GGUF by another library.
            assert distance == 0 if "gradient" not in service.service.host.engine.can else distance < 1e-3


def test_feed_of_picture_latents_is_connected_by_the_service(service: Served, way: str) -> None:
    space = next(s for s in service.service.describe().spaces if s.startswith("efficientnet"))
    data = np.abs(np.random.default_rng(0).normal(size=(49, 1280))).astype(np.float32)

    async def scenario(client: Client) -> tuple[int, str]:
        session = await client.open()
        before = session.n_past
        n_past = await session.feed(Latents(0, 0, "image", data, space))
        return n_past - before, text_of(await collect(session, max_tokens=8))

    n_rows, answer = service.with_client(way, scenario)
    assert n_rows > 4
    assert answer.strip()


def test_sessions_at_once_take_turns_and_do_not_mix(service: Served, way: str) -> None:
    async def alone(client: Client, text: str) -> str:
        session = await client.open(chat=False)
        await session.feed(text)
        out = text_of(await collect(session, max_tokens=16))
        await session.close()
        return out

    async def scenario(client: Client) -> None:
        texts = ("Once upon a time", "The capital of France is", "One, two, three,")
        one_by_one = [await alone(client, text) for text in texts]
        assert await asyncio.gather(*(alone(client, text) for text in texts)) == one_by_one

    service.with_client(way, scenario)


def test_cancel_rollback_and_branch_leave_sessions_as_if_new(service: Served, way: str) -> None:
    async def scenario(client: Client) -> None:
        session = await client.open()
        start = session.n_past
        await session.feed("Tell me a very long story.")
        pieces = []
        async for piece in session.generate(max_tokens=400):
            pieces.append(piece)
            if len(pieces) == 3:
                await session.cancel()
        assert pieces[-1].last
        assert len(pieces) < 100
        assert await session.rollback(start) == start
        await session.feed("What is the capital of")
        other = await session.branch()
        await asyncio.gather(session.feed(" France?"), other.feed(" Italy?"))
        here, there = await asyncio.gather(collect(session, max_tokens=8), collect(other, max_tokens=8))
        fresh = await client.open()
        for question, got in ((" France?", here), (" Italy?", there)):
            await fresh.feed("What is the capital of", question)
            assert text_of(await collect(fresh, max_tokens=8)) == text_of(got)
            await fresh.rollback(start)
        await fresh.close()
        await other.close()
        await session.close()

    service.with_client(way, scenario)


def test_generate_that_is_left_is_cancelled(service: Served, way: str) -> None:
    async def scenario(client: Client) -> None:
        session = await client.open(chat=False)
        await session.feed("Once upon a time")
        stream = session.generate(max_tokens=900)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        n_past = session.n_past
        await session.feed(" and")
        assert session.n_past < n_past + 100

    service.with_client(way, scenario)


@pytest.mark.parametrize("way", WAYS[1:])
def test_generate_over_a_lost_connection_loses_and_repeats_nothing(service: Served, way: str) -> None:
    async def scenario(client: Client) -> tuple[list[Token], list[Token]]:
        out = []
        for drop in (False, True):
            session = await client.open(chat=False)
            await session.feed("Once upon a time there was")
            pieces = []
            async for piece in session.generate(max_tokens=40):
                pieces.append(piece)
                if drop and len(pieces) in (2, 9, 30):
                    client._transport._ws.transport.abort()  # type: ignore[attr-defined]
            out.append(pieces)
            assert await session.feed(" more") > 40
            await session.close()
        return out[0], out[1]

    kept, dropped = service.with_client(way, scenario)
    assert [(p.token_id, p.logprob) for p in dropped] == [(p.token_id, p.logprob) for p in kept]


def test_open_over_the_limit_is_busy_until_one_closes(service: Served, way: str) -> None:
    async def scenario(client: Client) -> None:
        sessions = [await client.open() for _ in range(6 - len(service.service._sessions))]
        with pytest.raises(RemoteError) as caught:
            await client.open()
        assert caught.value.reason is Reason.BUSY
        await sessions[0].close()
        await (await client.open()).close()
        for session in sessions:
            await session.close()

    service.with_client(way, scenario)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.full((2, 576), np.nan, np.float32), Reason.BAD_INPUT),
        (np.full((2, 576), 1e30, np.float32), Reason.BAD_INPUT),
        (np.zeros((2, 575), np.float32), Reason.BAD_INPUT),
        (
            Latents(0, 0, "audio", np.zeros((9, 768), np.float32), "whisper-tiny-en:0000000000000000"),
            Reason.WRONG_SPACE,
        ),
        (
            Latents(0, 0, "image", np.zeros((50, 1280), np.float32), "efficientnet"),
            Reason.BAD_INPUT,
        ),
        (
            Latents(0, 0, "image", np.zeros((49, 12), np.float32), "efficientnet"),
            Reason.BAD_INPUT,
        ),
        ([49_152 + 7], Reason.NOT_FOUND),
        ("x " * 3000, Reason.CONTEXT_FULL),
        ("x" * 70_000, Reason.BAD_INPUT),
    ],
)
def test_feed_of_invalid_input_is_refused_and_changes_nothing(
    service: Served, way: str, given: object, reason: Reason
) -> None:
    if isinstance(given, Latents) and given.space == "efficientnet":  # the space that the bundle really has
        space = next(s for s in service.service.describe().spaces if s.startswith("efficientnet"))
        given = replace(given, space=space)

    async def scenario(client: Client) -> None:
        session = await client.open()
        with pytest.raises(RemoteError) as caught:
            await session.feed(given)  # type: ignore[arg-type]
        assert caught.value.reason is reason
        await session.feed(QUESTION)
        fresh = await client.open()
        await fresh.feed(QUESTION)
        assert text_of(await collect(session, max_tokens=4)) == text_of(await collect(fresh, max_tokens=4))
        await session.close()
        await fresh.close()

    service.with_client(way, scenario)


def test_backend_without_an_ability_declares_and_refuses_it(service: Served, way: str) -> None:
    examples = [Example("Buzz!", "<buzz>", " short"), Example("Hello!")]
    calls: dict[str, Callable[[Client], Coroutine[Any, Any, Any]]] = {
        "latent": lambda client: client.call(
            messages.OneShot(client.next_rid(), [messages.Text("x")], messages.GenerationParams(1))
        ),
        "hidden": lambda client: client.open(latents=True),
        "tokens": lambda client: client.tokens(messages.ListTokens(0)),
        "token rows": lambda client: client.train_tokens(examples),
        "gradient": lambda client: client.call(messages.Forward(client.next_rid(), [[messages.Text("x")]])),
    }

    async def scenario(client: Client) -> None:
        description = await client.describe()
        assert set(description.can) == BACKENDS[description.backend]
        await client.tokens(messages.AddToken(0, "<buzz>", "buzz", end="</buzz>"))
        for ability, call in calls.items():
            if ability in description.can:
                if ability != "token rows":  # minutes of training: test_service_training does it
                    await call(client)
                continue
            with pytest.raises(RemoteError) as caught:
                await call(client)
            assert caught.value.reason is Reason.UNSUPPORTED
            assert ability in str(caught.value)
        await client.tokens(messages.RemoveToken(0, "<buzz>"))

    service.with_client(way, scenario)


def test_llama_engine_contexts_together_have_no_more_rows_than_allowed(gguf_path: Path, tmp_path: Path) -> None:
    engine = LlamaEngine(small_parts(gguf_path, tmp_path)[0], max_rows=40)
    try:
        first, second = Context(), Context()
        engine.feed(first, [[5] * 30], hidden=False)
        with pytest.raises(ModelError, match="all apps together have 40") as refused:
            engine.feed(second, [[5] * 20], hidden=False)
        assert refused.value.reason is Reason.CONTEXT_FULL
        del first
        assert engine.feed(second, [[5] * 20], hidden=False).logits.size
    finally:
        engine.close()
