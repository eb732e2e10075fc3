"""Keeps the answers to training steps, so that a repeated step is answered from memory.

A step is named "run:number". The last `KEPT` answers of a run are kept. An older step, or one repeated with other
content, is refused, because its client has counted wrongly.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from glasses.errors import InputError, Reason

KEPT, MAX_RUNS = 2, 8  # an answer has up to 16 MB, so 256 MB at worst
Answer = Any


class Steps:
    """The answers of at most MAX_RUNS runs; the one unused for longest is dropped."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, OrderedDict[int, tuple[bytes, asyncio.Future[Answer]]]] = OrderedDict()
        self._newest: dict[str, int] = {}

    async def once(self, step: str, digest: bytes, compute: Callable[[], Awaitable[Answer]]) -> Answer:
        """Returns the answer to `step`, and computes it if it is new. Raises InputError(REPLAYED), and what `compute`
        raises; a step that failed may be tried again.
        """
        run, _, number_text = step.partition(":")
        number, answers = int(number_text), self._run(run)
        if number in answers:
            known, future = answers[number]
            if known != digest:
                raise InputError(Reason.REPLAYED, f"step {step} was asked before with other content")
            return await asyncio.shield(future)
        if number <= self._newest.get(run, -1) - KEPT:
            raise InputError(Reason.REPLAYED, f"step {step} is long past: {self._newest[run]} was asked already")
        return await self._compute(run, number, digest, compute)

    async def _compute(self, run: str, number: int, digest: bytes, compute: Callable[[], Awaitable[Answer]]) -> Answer:
        answers = self._run(run)
        task = asyncio.ensure_future(compute())  # continues if the connection is lost: the client will repeat the step
        answers[number] = (digest, task)
        task.add_done_callback(lambda done: answers.pop(number, None) if done.cancelled() or done.exception() else None)
        self._newest[run] = max(number, self._newest.get(run, -1))
        while len(answers) > KEPT:
            answers.popitem(last=False)
        return await asyncio.shield(task)

    def _run(self, run: str) -> OrderedDict[int, tuple[bytes, asyncio.Future[Answer]]]:
        answers = self._runs.setdefault(run, OrderedDict())
        self._runs.move_to_end(run)
        while len(self._runs) > MAX_RUNS:
            forgotten, _ = self._runs.popitem(last=False)
            self._newest.pop(forgotten, None)
        return answers
