"""One backbone for two: the wearer, who always goes first, and guests (apps), who use it in between.

The KV cache holds the rows of one of them at a time. When a guest comes the wearer's rows are put aside, as
`LlamaBackbone.snapshot` gives them, and they are back, bit for bit, before the wearer's next work. What a guest was
decoding when the wearer came is done again afterwards, in the same batch, so that its tokens are the same, too.

The wearer's side is one thread, that which opened the backbone; guests have one thread together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason

# A turn that is open gives a sign at least this often: half a second apart while somebody speaks, 2.5 s after a touch
# that nobody speaks after. Then guests may go on, so that a lost signal stops none for good.
HOLD_S = 5.0
_T = TypeVar("_T")


class Handover:
    """Until the wearer's side calls `give` for the first time, no guest is let in."""

    def __init__(self, backbone: LlamaBackbone, *, on_held: Callable[[bool], None] = lambda held: None) -> None:
        """`on_held` is told when guests have to wait (True) and when they may go on; from several threads, with no
        lock held, and maybe twice the same.
        """
        self._backbone, self.on_held = backbone, on_held
        self._changed = threading.Condition()
        self._taken, self._wanted = True, False  # the wearer works; or waits for a guest to get out
        self._is_guest, self._is_preempted = False, False  # a guest works, and is to get out
        self._held_until_s = 0.0  # a turn of the wearer is open
        self._is_closed = False
        self._wearer_abort = self._guest_abort = False
        self._aside: SavedState | None = None  # the wearer's rows, while those of a guest are in the cache
        self._leave: Callable[[], None] = lambda: None

    def abort(self) -> None:
        """Stops what the wearer's side decodes, as `LlamaBackbone.abort`."""
        with self._changed:
            self._wearer_abort = True
            self._follow()

    def clear_abort(self) -> None:
        """Takes back an `abort`."""
        with self._changed:
            self._wearer_abort = False
            self._follow()

    def hold(self) -> None:
        """A turn of the wearer is open: guests get out at once, and wait until `release`, or until HOLD_S have passed
        without another `hold`. From any thread; never waits.
        """
        with self._changed:
            self._held_until_s = time.monotonic() + HOLD_S
            self._is_preempted = self._is_guest
            self._follow()
        self.on_held(True)

    def release(self) -> None:
        """The wearer's turn is over; from any thread."""
        with self._changed:
            self._held_until_s = 0.0
            self._changed.notify_all()
            is_free = not self._taken
        if is_free:
            self.on_held(False)

    @property
    def is_held(self) -> bool:
        """Whether guests have to wait now."""
        with self._changed:
            return self._taken or self._wanted or time.monotonic() < self._held_until_s

    @property
    def is_to_return(self) -> bool:
        """Whether a turn of the wearer is open while a guest's rows are in the cache: now is the time to `take`."""
        with self._changed:
            return self._aside is not None and time.monotonic() < self._held_until_s

    def take(self) -> None:
        """The wearer's side is about to use the backbone: returns once no guest does and the wearer's rows are in the
        cache. A guest takes one node of the graph, or one copy of its rows, to get out. ModelError as `restore`.
        """
        with self._changed:
            if self._taken:
                return
            self._wanted = True
            while self._is_guest:
                self._is_preempted = True
                self._follow()
                self._changed.wait()
            self._taken, self._wanted = True, False
            self._follow()
        if self._aside is not None:
            self._backbone.own()
            self._leave()
            self._backbone.restore(self._aside)
            self._aside = None

    def give(self) -> None:
        """The wearer's side does not use the backbone for now."""
        with self._changed:
            if not self._taken:
                return
            self._taken = False
            self._changed.notify_all()
            is_free = time.monotonic() >= self._held_until_s
        if is_free:
            self.on_held(False)

    def close(self) -> None:
        """No guest is let in any more: those that wait get ModelError(ABORTED). The wearer's side has the backbone."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self.take()

    def abort_guest(self) -> None:
        """Stops what a guest decodes or waits for; from any thread."""
        with self._changed:
            self._guest_abort = True
            self._follow()
            self._changed.notify_all()

    def clear_guest_abort(self) -> None:
        """Takes back an `abort_guest` that came too late to stop anything."""
        with self._changed:
            self._guest_abort = False
            self._follow()

    def wait(self) -> None:
        """Returns once guests may work; for what costs time, but not the backbone's. ModelError(ABORTED)."""
        with self._changed:
            self._wait()

    def as_guest(self, function: Callable[[], _T], leave: Callable[[], None]) -> _T:
        """Calls `function`, which uses the backbone, once it is free; again, where the wearer came in between.

        A `function` that is aborted must leave everything as it was. `leave` is called, on the wearer's thread, before
        the wearer's rows come back into the cache: it saves what the guest has in it, and raises nothing. Raises what
        `function` raises, and ModelError(ABORTED) after `abort_guest` or `close`.
        """
        while True:
            try:
                with self._entered(leave):
                    return function()
            except ModelError as error:
                if error.reason is not Reason.ABORTED or not self._was_preempted():
                    raise

    def _was_preempted(self) -> bool:
        with self._changed:
            return self._is_preempted and not self._guest_abort

    @contextmanager
    def _entered(self, leave: Callable[[], None]) -> Iterator[None]:
        with self._changed:
            self._is_preempted = False
            self._wait()
            self._is_guest = True
            self._follow()
        try:
            self._backbone.own()
            if self._aside is None:
                self._aside, self._leave = self._backbone.snapshot(), leave
            yield
        finally:
            with self._changed:
                self._is_guest = False
                self._follow()
                self._changed.notify_all()

    def _wait(self) -> None:
        while True:
            if self._is_closed or self._guest_abort:
                raise ModelError(Reason.ABORTED, "cancelled before its turn came")
            held_s = self._held_until_s - time.monotonic()
            if not (self._taken or self._wanted) and held_s <= 0:
                return
            self._changed.wait(held_s if held_s > 0 and not self._taken else None)

    def _follow(self) -> None:
        """Sets the backbone's flag to what it is for whoever works with it."""
        wanted = self._guest_abort or self._is_preempted if self._is_guest else self._wearer_abort
        if wanted:
            self._backbone.abort()
        else:
            self._backbone.clear_abort()
