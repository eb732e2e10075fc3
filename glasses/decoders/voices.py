"""Several voices of which one speaks, for personas that have one each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from glasses.decoders.speech import Voice
from glasses.errors import InputError, Reason
from glasses.types import Float32Array


class Voices(Voice):
    """To whoever uses it one voice; `use` changes which."""

    def __init__(self, voices: Mapping[str | None, Voice]) -> None:
        """By any names, the first one speaks first. Raises InputError(BAD_INPUT) where their sample rates differ."""
        self._voices = dict(voices)
        self._speaking = next(iter(self._voices.values()))
        self.speed = 1.0
        if wrong := [name for name, one in self._voices.items() if one.rate_hz != self.rate_hz]:
            raise InputError(
                Reason.BAD_INPUT,
                f"the voice {wrong[0]} has {self._voices[wrong[0]].rate_hz} Hz and others {self.rate_hz}: "
                "voices of personas must have one sample rate",
            )

    def use(self, name: str | None) -> None:
        """Has this one speak from the next clause on."""
        self._speaking = self._voices[name]

    @property
    def rate_hz(self) -> int:
        """See `Voice`."""
        return self._speaking.rate_hz

    def warm_up(self) -> None:
        """See `Voice`; all of them."""
        for one in self._voices.values():
            one.warm_up()

    def speak(self, clauses: Iterable[str]) -> Iterator[Float32Array]:
        """See `Voice`."""
        self._speaking.speed = self.speed
        return self._speaking.speak(clauses)

    def abort(self) -> None:
        """See `Voice`."""
        for one in self._voices.values():
            one.abort()

    def close(self) -> None:
        """See `Voice`; all of them."""
        for one in self._voices.values():
            one.close()
