"""Takes a photograph from glasses: deadlines by stage, failures by type, a retry after a gap.

A product says how to ask, how its chunks make a picture (`Assembler`), and which chunk is the last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.errors import LinkError, Reason

MAX_PHOTO_BYTES = 1 << 20
MAX_PHOTO_CHUNKS = 1 << 13  # MAX_PHOTO_BYTES in the smallest chunks seen, of 128 bytes


class PhotoFailure(StrEnum):
    """Why there is no photograph."""

    LINK = "link"  # the link is down or went down
    BUSY = "busy"  # another one is being taken
    CAPTURE = "capture"  # the device's camera failed, or what came is no picture
    GAP = "gap"  # parts of it were lost on the way, at every try
    TIMEOUT = "timeout"  # the device did not go on in time


_REASONS = {
    PhotoFailure.LINK: Reason.CLOSED,
    PhotoFailure.BUSY: Reason.BUSY,
    PhotoFailure.CAPTURE: Reason.REFUSED,
    PhotoFailure.GAP: Reason.CORRUPT,
    PhotoFailure.TIMEOUT: Reason.TIMEOUT,
}


class PhotoError(LinkError):
    """No photograph, why, and in which stage: "asking", "first chunk", "next chunk" or "whole"."""

    def __init__(self, failure: PhotoFailure, stage: str, message: str) -> None:
        super().__init__(_REASONS[failure], message)
        self.failure = failure
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Photo:
    """A JPEG as the camera made it; turn it clockwise by `turn_deg` to see it upright, if the device says (else None).

    `t_ns` is when the device took the request, which the exposure follows.
    """

    t_ns: int
    jpeg: bytes
    turn_deg: int | None
    tries: int


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds each stage may take; `whole_s` is for one try."""

    ask_s: float = 3.0
    first_chunk_s: float = 5.0
    next_chunk_s: float = 2.0
    whole_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Assembled:
    """A complete picture, from an assembler."""

    jpeg: bytes
    turn_deg: int | None


# Puts one picture together: gets chunks, returns the picture after the last. Raises PhotoError: GAP, CAPTURE, BUSY.
Assembler = Generator[None, bytes, Assembled]


class Camera:
    """The photographs of one device: one at a time."""

    def __init__(
        self,
        name: str,
        *,
        ask: Callable[[], Awaitable[None]],
        assemble: Callable[[], Assembler],
        is_last: Callable[[bytes], bool],
    ) -> None:
        self._name = name
        self._ask = ask
        self._assemble = assemble
        self._is_last = is_last
        self._busy = False
        self._ended = True  # nothing of an earlier picture is still to come
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_PHOTO_CHUNKS)  # None: the link went down

    def feed(self, chunk: bytes) -> None:
        """Takes a chunk the device sent; what nobody asked for is let go."""
        if self._busy and not self._chunks.full():  # full is a gap, which the assembler will see
            self._chunks.put_nowait(chunk)

    def link_lost(self) -> None:
        """Ends a photograph under way with PhotoError LINK."""
        if self._busy:
            if self._chunks.full():
                self._chunks.get_nowait()
            self._chunks.put_nowait(None)

    async def take(self, *, tries: int = 3, deadlines: Deadlines | None = None) -> Photo:
        """One photograph; after a gap it is asked for again, `tries` times in all. Raises PhotoError: all failures."""
        if self._busy:
            raise PhotoError(PhotoFailure.BUSY, "asking", f"{self._name}: a photograph is being taken already")
        self._busy = True
        limits = deadlines or Deadlines()
        try:
            for tried in range(1, tries + 1):
                try:
                    return await self._once(tried, limits)
                except PhotoError as error:
                    if error.failure is not PhotoFailure.GAP or tried == tries:
                        raise
                await self._let_pass(limits)
            raise PhotoError(PhotoFailure.GAP, "asking", f"{self._name}: tries must be at least 1")
        finally:
            self._busy = False
            while not self._chunks.empty():
                self._chunks.get_nowait()

    async def _once(self, tried: int, limits: Deadlines) -> Photo:
        assembler = self._assemble()
        next(assembler)
        t_ns = 0
        try:
            async with asyncio.timeout(limits.whole_s):
                await self._asked(limits.ask_s)
                t_ns = time.monotonic_ns()
                chunk = await self._chunk("first chunk", limits.first_chunk_s)
                while True:
                    assembler.send(chunk)
                    chunk = await self._chunk("next chunk", limits.next_chunk_s)
        except StopIteration as done:
            return Photo(t_ns, self._checked(done.value.jpeg), done.value.turn_deg, tried)
        except TimeoutError as error:
            raise PhotoError(
                PhotoFailure.TIMEOUT, "whole", f"{self._name}: no whole photograph in {limits.whole_s:.0f} s"
            ) from error

    async def _asked(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._ask()
        except TimeoutError as error:
            raise PhotoError(
                PhotoFailure.TIMEOUT, "asking", f"{self._name}: did not take the request in {limit_s:.0f} s"
            ) from error
        except PhotoError:
            raise
        except LinkError as error:
            failure = PhotoFailure.TIMEOUT if error.reason is Reason.TIMEOUT else PhotoFailure.LINK
            raise PhotoError(failure, "asking", str(error)) from error

    async def _chunk(self, stage: str, limit_s: float) -> bytes:
        try:
            async with asyncio.timeout(limit_s):
                chunk = await self._chunks.get()
        except TimeoutError as error:
            raise PhotoError(
                PhotoFailure.TIMEOUT, stage, f"{self._name}: no {stage} of the photograph within {limit_s:.1f} s"
            ) from error
        if chunk is None:
            raise PhotoError(
                PhotoFailure.LINK, stage, f"{self._name}: the link went down in the middle of a photograph"
            )
        self._ended = self._is_last(chunk)
        return chunk

    def _checked(self, jpeg: bytes) -> bytes:
        """Chunks without a gap may be no picture; JPEG begins with SOI and ends with EOI (ITU-T T.81, B.1.1.3)."""
        if jpeg[:2] != b"\xff\xd8" or b"\xff\xd9" not in jpeg[-64:]:  # some cameras pad the end
            raise PhotoError(PhotoFailure.CAPTURE, "whole", f"{self._name}: {len(jpeg)} bytes came, but no JPEG")
        return jpeg

    async def _let_pass(self, limits: Deadlines) -> None:
        """Lets the rest of a damaged picture go by, so that it is not taken for the start of the next."""
        with suppress(TimeoutError):  # a device that never ends: the next try will say what is wrong
            async with asyncio.timeout(limits.whole_s):
                while not self._ended:
                    try:
                        await self._chunk("next chunk", limits.next_chunk_s)
                    except PhotoError as error:
                        if error.failure is not PhotoFailure.TIMEOUT:
                            raise
                        return  # the end was lost too
