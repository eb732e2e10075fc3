"""The responder's part in an announcement: its sound is made and played, and how much of it was heard is told."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from glasses.assistant.inbox import Announce, Inbox
from glasses.assistant.reply import Synthesizer
from glasses.errors import GlassesError, ModelError, Reason
from glasses.types import Float32Array

log = logging.getLogger(__name__)
_SENTENCES = re.compile(r"(?<=[.!?]) ")
_LOOK_S = 0.02  # between two looks whether it was played, or a lost speaker is back
_NO_SPEAKER_LOOKS = 250  # five seconds; then it is not told, and said again later


class Poll(Protocol):
    """Takes the responder's commands; waits for them for so many seconds."""

    def __call__(self, wait_s: float = ..., /) -> None: ...


@dataclass(slots=True, eq=False)
class _Saying:
    command: Announce
    is_cut: bool = False  # not wanted any more; the speaker is silent already


class Announcing:
    """Belongs to the responder's thread."""

    def __init__(self, inbox: Inbox, voice: Synthesizer | None, on_ended: Callable[[int, float], None]) -> None:
        """`on_ended` gets an announcement's id and the share of it that was heard, 0 to 1; without a voice it is 1."""
        self._inbox, self._voice, self._on_ended = inbox, voice, on_ended
        self._waiting: deque[_Saying] = deque()  # the first one is being said, where one is

    def add(self, command: Announce) -> None:
        """One more, to be said by `say`."""
        self._waiting.append(_Saying(command))

    def cut(self) -> None:
        """What is being said, or waits, is not wanted any more."""
        for saying in self._waiting:
            saying.is_cut = True

    def say(self, take: Poll) -> None:
        """Says what waits; `take` takes the commands that come meanwhile, one of which may `cut` it."""
        while self._waiting:
            saying, share = self._waiting[0], 0.0
            try:
                share = self._share_played(saying, take)
            except GlassesError as error:
                if not (isinstance(error, ModelError) and error.reason is Reason.ABORTED):
                    log.error("not announced: %s", error)
                take()
            self._waiting.popleft()
            self._on_ended(saying.command.id, share)

    def _share_played(self, saying: _Saying, take: Poll) -> float:
        if self._voice is None:
            return 0.0 if saying.is_cut else 1.0
        command = saying.command
        pcm = command.sound if command.sound is not None else self._spoken(self._voice, saying, take)
        n_looks, clause = 0, None
        while not saying.is_cut and n_looks < _NO_SPEAKER_LOOKS:
            clause = clause or self._inbox.play(-command.id, command.text, pcm)
            speaker = self._inbox.speaker
            if clause and (speaker is None or not speaker.is_speaking or speaker.gone):
                break
            n_looks += speaker is None
            take(_LOOK_S)
        return clause.share if clause else 0.0

    def _spoken(self, voice: Synthesizer, saying: _Saying, take: Poll) -> Float32Array:
        """The whole sound, so that it is known how much of it was played."""
        sounds: list[Float32Array] = []
        for pcm in voice.speak(_SENTENCES.split(saying.command.text)):
            sounds.append(pcm)
            take()
            if saying.is_cut:
                break
        return np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
