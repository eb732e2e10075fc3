"""Parts of the service, each alone: fair queue, step cache, added tokens and their training, sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasses.backbone import deep_rows
from glasses.errors import GlassesError, InputError, ModelError, Reason, RemoteError
from glasses.service.protocol.events import TokenInfo
from glasses.service.server import worker
from glasses.service.server.server import Listen, bind
from glasses.service.server.step_cache import KEPT, Steps
from glasses.service.server.worker import Worker
from glasses.service.tokens import added_tokens
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.service.tokens.token_file import TokenFile
from glasses.service.tokens.token_training import State, fit


def test_worker_with_a_hundred_jobs_of_one_key_serves_another_next() -> None:
    """The only job of another key waits for no more than the job that is running."""
    order: list[str] = []

    async def scenario() -> None:
        queue = Worker()
        greedy = [queue.run("greedy", lambda: order.append("greedy")) for _ in range(60)]
        tasks = [asyncio.ensure_future(job) for job in greedy]
        await asyncio.sleep(0)
        await queue.run("modest", lambda: order.append("modest"))
        at = order.index("modest")
        await asyncio.gather(*tasks)
        await queue.close(lambda: None)
        assert at <= 2

    asyncio.run(scenario())
    assert order.count("greedy") == 60


def test_worker_with_too_many_jobs_is_busy_and_raises_where_awaited() -> None:
    async def scenario() -> None:
        queue = Worker()
        tasks = [asyncio.ensure_future(queue.run("k", lambda: 1 // 0)) for _ in range(worker.MAX_WAITING + 8)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        busy = [r for r in results if isinstance(r, RemoteError) and r.reason is Reason.BUSY]
        assert 0 < len(busy) <= 8
        assert sum(isinstance(r, ZeroDivisionError) for r in results) == len(results) - len(busy)
        assert await queue.run("k", lambda: 5) == 5
        await queue.close(lambda: None)

    asyncio.run(scenario())


def test_step_cache_asked_twice_at_once_computes_once() -> None:
    done = []

    async def compute() -> int:
        done.append(1)
        await asyncio.sleep(0.01)
        return len(done)

    async def scenario() -> None:
        steps = Steps()
        first, second = await asyncio.gather(steps.once("r:1", b"a", compute), steps.once("r:1", b"a", compute))
        assert (first, second, len(done)) == (1, 1, 1)
        with pytest.raises(InputError) as caught:
            await steps.once("r:1", b"other", compute)
        assert caught.value.reason is Reason.REPLAYED
        for number in range(2, 3 + KEPT):
            await steps.once(f"r:{number}", b"a", compute)
        with pytest.raises(InputError):
            await steps.once("r:1", b"a", compute)
        assert await steps.once("other:1", b"a", compute) == len(done)

    asyncio.run(scenario())


def test_step_cache_failed_steps_are_retried_and_abandoned_ones_go_on() -> None:
    async def scenario() -> None:
        steps, tries = Steps(), []

        async def compute() -> int:
            tries.append(1)
            await asyncio.sleep(0.01)
            if len(tries) == 1:
                raise ModelError(Reason.INTERNAL, "once")
            return 7

        with pytest.raises(ModelError):
            await steps.once("r:1", b"a", compute)
        left = asyncio.ensure_future(steps.once("r:1", b"a", compute))
        await asyncio.sleep(0)
        left.cancel()
        assert await steps.once("r:1", b"a", compute) == 7
        assert len(tries) == 2

    asyncio.run(scenario())


def table() -> AddedTokens:
    empty = AddedTokens.empty(100, 4)
    row = np.array([1, 2, 3, 4], np.float32)
    pair = [
        TokenInfo(name="<a>", id=0, meaning="x", version=0, end="</a>"),
        TokenInfo(name="</a>", id=0, meaning="x", version=0, begin="<a>"),
    ]
    return empty.add(pair, row).add([TokenInfo(name="<cat>", id=0, meaning="y", version=0)], 2 * row)


def test_token_file_of_two_servers_loses_no_change_of_either(tmp_path: Path) -> None:
    one, other = (TokenFile(tmp_path / "t", "sha", 100, 4) for _ in range(2))
    seen = one.load(), other.load()
    one.save(table())
    with pytest.raises(RemoteError, match="another server changed") as caught:
        other.save(seen[1].add([TokenInfo(name="<dog>", id=0, meaning="z", version=0)], np.ones(4, np.float32)))
    assert caught.value.reason is Reason.BUSY
    newer = other.newer()
    assert newer is not None
    assert newer.tokens == table().tokens
    assert other.newer() is None
    other.save(newer.remove("<cat>"))
    back = one.newer()
    assert back is not None
    assert [token.name for token in back.tokens] == ["<a>", "</a>"]


def test_added_tokens_saved_and_loaded_keep_their_ids(tmp_path: Path) -> None:
    tokens = table()
    assert [t.id for t in tokens.tokens] == [100, 101, 102]
    fewer = tokens.remove("</a>")
    assert [t.name for t in fewer.tokens] == ["<cat>"]
    again = fewer.add([TokenInfo(name="<dog>", id=0, meaning="z", version=0)], np.ones(4, np.float32))
    assert [t.id for t in again.tokens] == [102, 103]
    again.save(tmp_path / "t", "sha")
    back = added_tokens.load(tmp_path / "t", "sha", 100, 4)
    assert (back.tokens, back.next_id) == (again.tokens, 104)
    assert np.array_equal(back.rows, again.rows)
    with pytest.raises(ModelError) as caught:
        added_tokens.load(tmp_path / "t", "other", 100, 4)
    assert caught.value.reason is Reason.BAD_INPUT
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:-1])
    with pytest.raises(ModelError) as caught:
        added_tokens.load(tmp_path / "t", "sha", 100, 4)
    assert caught.value.reason is Reason.CORRUPT
    assert not added_tokens.load(tmp_path / "absent", "sha", 100, 4).tokens


def test_added_tokens_refuse_a_taken_name_and_never_score_untrained() -> None:
    with pytest.raises(InputError):
        table().add([TokenInfo(name="<cat>", id=0, meaning="y", version=0)], np.ones(4, np.float32))
    assert table().scores(np.ones(4, np.float32), first=True, opened=None).max() < -1e29


@pytest.mark.parametrize(
    ("first", "opened", "may_come"),
    [(True, None, ["<a>", "<cat>"]), (False, None, ["<a>"]), (True, "<a>", ["</a>"]), (False, "<a>", ["</a>"])],
)
def test_scores_allow_tokens_only_where_they_may_come(first: bool, opened: str | None, may_come: list[str]) -> None:
    tokens = table().trained(table().rows, np.ones((3, 4), np.float32))
    scores = tokens.scores(np.ones(4, np.float32), first=first, opened=opened)
    assert [t.name for t, score in zip(tokens.tokens, scores, strict=True) if score > 0] == may_come


def test_first_scores_decide_the_first_token_and_deep_rows_are_kept(tmp_path: Path) -> None:
    tokens = table().trained(table().rows, np.ones((3, 4), np.float32), np.eye(3, 6, dtype=np.float32))
    values = np.array([1, 5, -2, 0, 0], np.float32)
    assert tokens.first_scores(values, 20.0)[[0, 2]].tolist() == [21.0, 18.0]  # over and under what text has
    assert tokens.first_scores(values, 20.0)[1] < -1e29  # the end of a pair that is not open
    biased = replace(tokens, deep=np.full((3, 6), 0.5, np.float32))
    assert biased.first_scores(values, 20.0)[0] == 20 + 2 + 0.5
    assert tokens.scores(np.ones(4, np.float32), first=False, opened=None).max() < -1e29  # not later in an answer
    assert tokens.scores(np.ones(4, np.float32), first=False, opened="<a>").argmax() == 1
    assert replace(table(), deep=tokens.deep).first_scores(values, 20.0).max() < -1e29  # never trained
    tokens.save(tmp_path / "t", "sha")
    back = added_tokens.load(tmp_path / "t", "sha", 100, 4)
    assert np.array_equal(back.deep, tokens.deep)
    assert back.remove("<a>").deep.tolist() == [[0, 0, 1, 0, 0, 0]]
    more = back.add([TokenInfo(name="<dog>", id=0, meaning="z", version=0)], np.ones(4, np.float32))
    assert more.deep.shape == (4, 6)
    replace(tokens, deep=tokens.deep[:2]).save(tmp_path / "t", "sha")
    with pytest.raises(ModelError) as caught:
        added_tokens.load(tmp_path / "t", "sha", 100, 4)
    assert caught.value.reason is Reason.CORRUPT


def test_deep_rows_fit_with_fewer_examples_than_values_generalises() -> None:
    """Three tokens share one direction for asking, so that a question in new words is found by it."""
    rng = np.random.default_rng(0)
    things, ask = rng.normal(size=(3, 500)), rng.normal(size=500)

    def examples(n: int) -> tuple[np.ndarray, np.ndarray]:
        thing, asks = np.arange(n) % 3, np.arange(n) % 2 == 0
        noise = rng.normal(size=(n, 500), scale=1.5)
        return (things[thing] + asks[:, None] * ask + noise).astype(np.float32), np.where(asks, thing, -1)

    deep, accuracy = deep_rows.fit(*examples(120), 3)
    assert (deep.shape, accuracy) == ((3, 501), 1.0)
    values, wanted = examples(600)
    scores = values @ deep[:, :-1].T + deep[:, -1]
    chosen = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    assert (chosen == wanted).mean() > 0.95


def test_fit_of_classifier_rows_calls_and_stays_silent() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 64)) * 3  # three tokens and "none"

    def states(n: int) -> list[State]:
        out = []
        for i in range(n):
            kind = i % 8
            hidden = (centres[kind if kind < 3 else 3] + rng.normal(size=64)).astype(np.float32)
            out.append(State(hidden, 22.0 + rng.normal(), 20.0, kind if kind < 3 else -1, True))
        return out

    rows, accuracy = fit(states(160), 3)
    assert accuracy > 0.98
    held_out = states(400)
    scores = np.stack([s.hidden for s in held_out]) @ rows.T
    chosen = np.where(scores.max(axis=1) > 20.0, scores.argmax(axis=1), -1)
    assert (chosen == [s.wanted for s in held_out]).mean() > 0.97


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ({"address": "0.0.0.0:1"}, Reason.REFUSED),
        ({"address": "[::]:1"}, Reason.REFUSED),
        ({"address": "example.org:1"}, Reason.REFUSED),
        ({"address": "nowhere"}, Reason.BAD_INPUT),
        ({"address": "127.0.0.1:99999"}, Reason.BAD_INPUT),
        ({"address": "127.0.0.1:1", "token": "short"}, Reason.BAD_INPUT),
        ({"address": "127.0.0.1:1", "tls_cert": Path("c")}, Reason.BAD_INPUT),
        ({"address": "127.0.0.1:1", "client_ca": Path("c")}, Reason.BAD_INPUT),
    ],
)
def test_listen_on_an_unsafe_or_wrong_address_is_refused(listen: dict[str, object], reason: Reason) -> None:
    with pytest.raises(GlassesError) as caught:
        Listen(**listen)  # type: ignore[arg-type]
    assert caught.value.reason is reason


def test_bind_of_a_unix_socket_is_private_and_replaces_a_dead_one(tmp_path: Path) -> None:
    listen = Listen(f"unix:{tmp_path}/s")
    first = bind(listen)
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    first.listen()
    with pytest.raises(InputError) as caught:
        bind(listen)
    assert caught.value.reason is Reason.BUSY
    first.close()  # as a killed service leaves it
    bind(listen).close()
