"""Several personas at once: the wake phrase that was heard decides whose prompt, voice, manner and tools answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from glasses.assistant import persona as personas
from glasses.assistant.persona import DEFAULT, Persona
from glasses.backbone.state_file import SavedState
from glasses.errors import InputError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.heads import DEFAULT_WAKE_WORD
from glasses.runtime.system_states import system_states


class Cast:
    """Personas by the names of their files. The first answers until the phrase of another one is heard, who then
    answers until a third is called: touches and follow-ups go on with who answered last. Each begins a conversation
    of its own.

    `prepare` and `use` belong to the backbone's thread; the rest may be read from any.
    """

    def __init__(self, members: Mapping[str, Persona]) -> None:
        """Raises InputError(BAD_INPUT) where two have the same wake phrase."""
        self._members = dict(members) or {"": DEFAULT}
        self._name = next(iter(self._members))
        self._states: Mapping[str, SavedState] = {}
        self._loaded: LoadedBundle | None = None
        self.on_change: Callable[[Persona], None] = lambda persona: None
        self.wake_words = {name: one.wake_word or DEFAULT_WAKE_WORD for name, one in self._members.items()}
        phrase, n = Counter(self.wake_words.values()).most_common(1)[0]
        if n > 1:
            both = " and ".join(name for name, word in self.wake_words.items() if word == phrase)
            raise InputError(
                Reason.BAD_INPUT,
                f"the personas {both} have the same wake phrase: give each a wake_word of its own, "
                "trained by: glasses wake-word train PHRASE --name WAKE_WORD",
            )

    @property
    def current(self) -> Persona:
        """Who answers now."""
        return self._members[self._name]

    @property
    def members(self) -> Iterable[Persona]:
        """All of them, the first one first."""
        return self._members.values()

    def n_prefix(self, loaded: LoadedBundle) -> int:
        """Rows of the system prompt that the wearer's KV cache begins with."""
        return self._states[self._name].rows if self._states else loaded.n_prefix

    def prepare(self, loaded: LoadedBundle) -> None:
        """Makes the system prompt of each ready; the cache holds the first one's. Raises ModelError as the backbone."""
        if len(self._members) > 1:
            self._states = system_states(loaded.backbone, {name: one.system for name, one in self._members.items()})
            self._loaded = loaded

    def use(self, name: str) -> int | None:
        """Lets this one answer from now on, whose prompt is then all that the KV cache holds: its rows. None where
        nothing changes: it answers already, or `name` is nobody's.

        Raises ModelError as `restore`.
        """
        if name == self._name or self._loaded is None or name not in self._states:
            return None
        self._loaded.backbone.restore(self._states[name])
        self._name = name
        self.on_change(self.current)
        return self._states[name].rows


def load_cast(names: Iterable[str]) -> Cast:
    """The personas of these files, none for the default one. Raises InputError as `persona.load` and `Cast`."""
    return Cast({name: personas.load(name) for name in names})
