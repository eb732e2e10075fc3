"""The counter in a stream's packets: which were lost, which came before."""

from __future__ import annotations


class Sequence:
    """Counts packets modulo 2 ** bits.

    A number up to `late` behind the one that is due belongs to a packet that came already or too late, one up to
    `most_lost` ahead follows a loss. Any other means that the sender counts anew, and the stream goes on with it at
    once. So a counter that restarts silences `late` packets at most.
    """

    def __init__(self, bits: int, *, late: int, most_lost: int) -> None:
        self._size, self._late, self._most_lost = 1 << bits, late, most_lost
        self._next: int | None = None

    def lost_before(self, number: int) -> int | None:
        """How many packets before this one were lost; None for one to drop. A counter that starts anew counts as 1."""
        ahead = 0 if self._next is None else (number - self._next) % self._size
        if self._size - ahead <= self._late:
            return None
        self._next = (number + 1) % self._size
        return ahead if ahead <= self._most_lost else 1
