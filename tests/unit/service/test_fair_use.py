"""Fair use of the one worker: whose slice comes next, how a prompt is cut, who holds how much."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from glasses.errors import ModelError, Reason, RemoteError
from glasses.service.engines.engine import cut
from glasses.service.server import budget, worker
from glasses.service.server.budget import Memory, Places
from glasses.service.server.clients import Complaints, account_of
from glasses.service.server.engine_host import EngineHost
from glasses.service.server.worker import Worker
from tests.faults.counting import CountingEngine

FAR, NEAR = ("192.0.2.7", 4000), ("127.0.0.1", 4000)


def scheduled(scenario: Callable[[Worker, list[str]], Awaitable[None]]) -> list[str]:
    """The order in which the worker did the slices of a scenario."""
    order: list[str] = []

    async def run() -> None:
        queue = Worker()
        await scenario(queue, order)
        await queue.close(lambda: None)

    asyncio.run(run())
    return order


async def use(queue: Worker, order: list[str], client: str, n: int, slice_s: float = 0.0, **more: int) -> None:
    """`n` slices, each asked for when the one before is done, as a prompt or an answer does."""

    def work() -> None:
        order.append(client)
        time.sleep(slice_s)

    for _ in range(n):
        await queue.run(client, work, **more)


def test_worker_beside_long_slices_does_many_short_ones_in_a_row() -> None:
    async def scenario(queue: Worker, order: list[str]) -> None:
        long = asyncio.create_task(use(queue, order, "long", 20, 0.02))
        await asyncio.sleep(0.05)
        await use(queue, order, "short", 15)
        assert order.count("long") < 20
        await long

    order = scheduled(scenario)
    first = order.index("short")
    assert order[first : first + 24].count("short") == 15


def test_worker_with_a_deadline_goes_before_clients_that_used_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CREDIT_S", 1e-9)  # nobody goes first for having asked for little

    async def scenario(queue: Worker, order: list[str]) -> None:
        others = [asyncio.create_task(use(queue, order, name, 30, 0.002)) for name in ("a", "b", "c")]
        await use(queue, order, "wearer", 1, 0.02)  # it has used more than they have
        later = asyncio.create_task(use(queue, order, "later", 10, deadline_ns=time.monotonic_ns() + 10**10))
        await use(queue, order, "wearer", 10, deadline_ns=time.monotonic_ns() + 10**9)
        await asyncio.gather(later, *others)

    order = scheduled(scenario)
    hurried = order[order.index("wearer") + 1 :]
    last = len(hurried) - hurried[::-1].index("wearer")
    assert hurried[:last].count("wearer") == 10
    assert last <= 10 + 12  # a quarter at most is others', however long theirs take
    assert [name for name in hurried if name in ("wearer", "later")][:10] == ["wearer"] * 10


def test_worker_with_deadlines_only_ahead_leaves_others_their_part() -> None:
    async def scenario(queue: Worker, order: list[str]) -> None:
        hurried = asyncio.create_task(use(queue, order, "hurried", 100, 0.004, deadline_ns=1))
        await asyncio.sleep(0.01)
        await use(queue, order, "patient", 4, 0.004)
        assert order.count("hurried") < 100
        await hurried

    scheduled(scenario)


@pytest.mark.parametrize("n_rows", [1, 71, 72, 143, 144, 200, 511, 512, 520, 1900])
def test_cut_leaves_batches_as_they_are_and_slices_even(n_rows: int) -> None:
    rows = np.arange(n_rows)
    slices = cut([[7, 8], rows, [9]], 72, 512)
    assert np.concatenate([part for each in slices for part in each]).tolist() == [7, 8, *rows, 9]
    assert all(sum(map(len, each)) < 2 * 72 + 3 for each in slices)
    parts = [part for each in slices for part in each][1:-1]
    starts = np.cumsum([0, *map(len, parts)])
    assert set(range(0, n_rows, 512)) <= set(starts.tolist())  # no part crosses a batch of the backbone
    assert all(len(part) >= 72 for part in parts if n_rows >= 144 and len(part) != n_rows % 512)


def test_host_abort_reaches_a_slice_that_waits_and_no_other() -> None:
    async def scenario() -> None:
        host = EngineHost(CountingEngine, backend="counting")
        await host.start()
        done: list[str] = []
        busy = asyncio.ensure_future(host.run("busy", lambda: time.sleep(0.05)))
        await asyncio.sleep(0.01)
        left = asyncio.ensure_future(host.run("left", lambda: done.append("left")))
        stays = asyncio.ensure_future(host.run("stays", lambda: done.append("stays")))
        await asyncio.sleep(0)
        host.abort("left")
        with pytest.raises(ModelError) as caught:
            await left
        assert caught.value.reason is Reason.ABORTED
        await asyncio.gather(busy, stays)
        await host.run("left", lambda: done.append("later"))
        assert done == ["stays", "later"]
        await host.close()

    asyncio.run(scenario())


def test_memory_over_its_limit_refuses_large_requests_only() -> None:
    memory = Memory(10 << 20, 6 << 20)
    memory.take(FAR, 6 << 20)
    with pytest.raises(RemoteError) as caught:
        memory.take((FAR[0], 4001), 1 << 20)  # another connection of the same machine
    assert caught.value.reason is Reason.BUSY
    memory.take(NEAR, 4 << 20)
    with pytest.raises(RemoteError):
        memory.take((NEAR[0], 4001), 1 << 20)
    memory.take((NEAR[0], 4001), 1000)
    memory.release(FAR, 6 << 20)
    memory.take(FAR, 5 << 20)


def test_places_keep_the_order_and_refuse_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAITING", 4)
    order: list[int] = []

    async def scenario() -> None:
        places = Places(1)

        async def one(number: int, address: object) -> None:
            async with places.place(address):
                order.append(number)
                await asyncio.sleep(0.001)

        async def started(number: int, address: object) -> asyncio.Task[None]:
            task = asyncio.create_task(one(number, address))
            await asyncio.sleep(0)
            return task

        tasks = [await started(i, FAR) for i in range(3)]
        with pytest.raises(RemoteError) as caught:
            await one(3, FAR)  # half of those that wait are its own
        assert "2 requests wait" in str(caught.value)
        tasks += [await started(4, ("127.0.0.1", 1)), await started(5, ("127.0.0.1", 2))]
        with pytest.raises(RemoteError):
            await one(6, ("127.0.0.1", 3))
        tasks[1].cancel()
        tasks += [await started(7, ("127.0.0.1", 4))]
        await asyncio.gather(*tasks, return_exceptions=True)
        assert places.n_waiting == 0

    asyncio.run(scenario())
    assert order == [0, 2, 4, 5, 7]


def test_places_that_never_come_free_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "WAIT_S", 0.01)

    async def scenario() -> None:
        places = Places(1)
        async with places.place(NEAR):
            with pytest.raises(RemoteError) as caught:
                async with places.place(NEAR):
                    pass
        assert caught.value.reason is Reason.BUSY
        async with places.place(NEAR):
            pass

    asyncio.run(scenario())


def test_complaints_name_the_client_and_come_once(caplog: pytest.LogCaptureFixture) -> None:
    complain = Complaints(logging.getLogger("test"))
    for port in range(50):
        complain(("192.0.2.7", port), "sent too much")
    complain(("192.0.2.8", 1), "sent too much")
    complain(None, "sent too much")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "192.0.2.7:0 sent too much",
        "192.0.2.8:1 sent too much",
        "a program on this machine sent too much",
    ]


@pytest.mark.parametrize(
    ("address", "account"),
    [(("192.0.2.7", 5), "192.0.2.7"), (("127.0.0.1", 5), "127.0.0.1:5"), (("::1", 5), "::1:5"), (None, "")],
)
def test_account_is_the_machine_or_here_the_connection(address: object, account: str) -> None:
    assert account_of(address) == account
