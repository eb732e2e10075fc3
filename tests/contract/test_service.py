"""The Latent API behaves alike in process, over a Unix socket and over TCP + TLS, with the real pocket bundle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from service_fixtures import Served, served, small_caps, small_parts

from glasses.backbone import prompt
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import Reason, RemoteError
from glasses.service import messages
from glasses.service.client import Client, RemoteSession
from glasses.service.engine import LlamaEngine
from glasses.service.service import Service
from glasses.types import Latents, Piece

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("error")]
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(gguf_path: Path, folder: Path) -> Iterator[Served]:

    def make() -> Service:
        return Service(lambda: LlamaEngine(small_parts(gguf_path, folder)[0]), backend="llama", caps=small_caps())

    with served(make, folder) as running:
        yield running


@pytest.fixture(scope="module")
def backbone(service: Served, folder: Path) -> Iterator[LlamaBackbone]:
    """The same backbone without a service around it."""
    with LlamaBackbone(folder / "small.gguf", n_ctx=1024, n_threads=1) as opened:
        yield opened


@pytest.fixture(params=["in process", "unix", "tls"])
def way(request: pytest.FixtureRequest) -> str:
    return request.param


async def collect(session: RemoteSession, **how: object) -> list[Piece]:
    return [piece async for piece in session.generate(**how)]  # type: ignore[arg-type]


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_answers_as_the_backbone_itself_does(service: Served, way: str, backbone: LlamaBackbone) -> None:
    backbone.rollback(0)
    backbone.feed([backbone.tokenize(prompt.PREFIX), backbone.tokenize(QUESTION), backbone.tokenize(prompt.SUFFIX)])
    expected = list(backbone.generate(1, max_tokens=12, top_k=3))

    async def scenario(client: Client) -> list[Piece]:
        session = await client.open()
        await session.feed(QUESTION)
        return await collect(session, max_tokens=12, top_k=3)

    got = service.with_client(way, scenario)
    assert [(p.token_id, p.text, p.last) for p in got] == [(p.token_id, p.text, p.last) for p in expected]
    assert np.allclose([p.logprob for p in got], [p.logprob for p in expected], atol=1e-5)
    assert [[t for t, _ in p.top] for p in got] == [[t for t, _ in p.top] for p in expected]


def test_rows_text_and_tokens_are_the_same_thing(service: Served, way: str, backbone: LlamaBackbone) -> None:
    ids = backbone.tokenize("Once upon a time there was")
    rows = backbone.token_rows(ids)

    async def scenario(client: Client) -> list[list[Piece]]:
        out = []
        for given in ("Once upon a time there was", ids, rows):
            session = await client.open(chat=False, latents=True)
            assert await session.feed(given) == len(ids)
            out.append(await collect(session, max_tokens=6, latents=True))
            await session.close()
        return out

    as_text, as_ids, as_rows = service.with_client(way, scenario)
    for other in (as_ids, as_rows):
        assert [p.logprob for p in other] == [p.logprob for p in as_text]
        for a, b in zip(as_text, other, strict=True):
            assert a.latent is not None
            assert b.latent is not None
            assert np.array_equal(a.latent, b.latent)


def test_latents_of_a_picture_are_connected_by_the_service(service: Served, way: str) -> None:
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


def test_two_sessions_take_turns_and_do_not_mix(service: Served, way: str) -> None:
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


def test_cancel_rollback_and_branch(service: Served, way: str) -> None:
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


def test_leaving_the_loop_cancels(service: Served, way: str) -> None:
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


@pytest.mark.parametrize("way", ["unix", "tls"])
def test_a_lost_connection_loses_and_repeats_nothing(service: Served, way: str) -> None:
    async def scenario(client: Client) -> tuple[list[Piece], list[Piece]]:
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


def test_sessions_are_limited_and_come_free(service: Served, way: str) -> None:
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
def test_what_cannot_be_fed_is_refused_and_changes_nothing(
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


def test_what_the_backend_cannot_do_is_declared_and_refused(service: Served, way: str) -> None:
    async def scenario(client: Client) -> None:
        assert "gradient" not in (await client.describe()).can
        with pytest.raises(RemoteError) as caught:
            await client.call(messages.Forward(client.next_rid(), [[messages.Text("x")]]))
        assert caught.value.reason is Reason.UNSUPPORTED

    service.with_client(way, scenario)
