"""The echo stage of the pipeline: takes the assistant's own voice out of what the microphone hears."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glasses.audio.echo_canceller import EchoSuppressor
from glasses.devices.speaker import AudioOutput
from glasses.events import Played
from glasses.types import NS_PER_MS, AudioChunk, OwnVoice

HOLES_HEARD_MS = 1000  # after an underrun: the longest delay of the echo, and the sound that is compared


class EchoStage:
    """`take` each chunk of the microphone; `use` the speaker that plays from now on."""

    def __init__(self, publish: Callable[[Played | OwnVoice], None]) -> None:
        self._publish = publish
        self._speaker: AudioOutput | None = None
        self._suppressor: EchoSuppressor | None = None
        self._hears_itself = False
        self._n_underruns, self._dry_until_ns = 0, 0

    def use(self, speaker: AudioOutput | None) -> None:
        """Another speaker is another echo: what was learned of the last one's is dropped."""
        self._speaker, self._n_underruns = speaker, speaker.underruns if speaker else 0
        self._suppressor = EchoSuppressor(speaker.rate_hz) if speaker else None

    def take(self, chunk: AudioChunk) -> tuple[AudioChunk, bool]:
        """The chunk without echo, and whether what is left is still the assistant's own voice."""
        own_voice = False
        if self._suppressor is not None and self._speaker is not None:
            chunk = self._without_echo(chunk, self._suppressor, self._speaker)
            own_voice = self._suppressor.hears_itself(chunk.t_ns) and self._suppressor.own_voice()
            if self._suppressor.talked_over:
                self._speaker.hold()
        if own_voice != self._hears_itself:
            self._hears_itself = own_voice
            self._publish(OwnVoice(chunk.t_ns, own_voice))
        return chunk, own_voice

    def _without_echo(self, chunk: AudioChunk, suppressor: EchoSuppressor, speaker: AudioOutput) -> AudioChunk:
        blocks = speaker.reference.take()
        suppressor.played(blocks)
        if any(pcm.any() for _, pcm in blocks):
            self._publish(Played(blocks[0][0], np.concatenate([pcm for _, pcm in blocks])))
        if speaker.underruns != self._n_underruns:
            self._n_underruns, self._dry_until_ns = speaker.underruns, chunk.t_ns + HOLES_HEARD_MS * NS_PER_MS
        return suppressor.clean(chunk, ran_dry=chunk.t_ns < self._dry_until_ns)
