"""Takes the assistant's own voice out of the microphone's sound: WebRTC's AEC3 on an aligned reference.

While nothing is being played, and for a second after, the sound passes untouched: a canceller also filters, and sound
that needs no filtering should reach the model as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from pywebrtc_audio import EchoCanceller

from glasses.audio.double_talk import DoubleTalkDetector, OwnVoiceDetector
from glasses.audio.reference import AlignedReference
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, AudioChunk, Int16Array, frozen

TAIL_MS = 1000  # after the last sample played: the room's answer and the devices' delay


class EchoSuppressor:
    """Takes blocks `played` by the speaker and `clean`s chunks of the microphone, both on the host's clock.

    `talked_over`: the last chunk was louder than the echo in it can be.
    """

    def __init__(self, speaker_rate_hz: int) -> None:
        self._canceller = EchoCanceller(sample_rate=SAMPLE_RATE_HZ)
        self._reference = AlignedReference(speaker_rate_hz)
        self._own_voice_detector, self._double_talk = OwnVoiceDetector(), DoubleTalkDetector()
        self._loud_ns = -(10**18)  # when something other than silence was played last
        self._own_voice = False
        self.talked_over = False

    def played(self, blocks: Sequence[tuple[int, Int16Array]]) -> None:
        """Takes what was handed to the speaker since, as (time, int16 (N,)), in order."""
        for t_ns, pcm in blocks:
            if pcm.any():
                self._loud_ns = t_ns
            elif not self.hears_itself(t_ns):
                continue  # all day long: not even silence is resampled
            self._reference.add(t_ns, pcm)
        self._reference.trim()

    def hears_itself(self, t_ns: int) -> bool:
        """Whether sound at `t_ns` may hold something of what was played."""
        return t_ns - self._loud_ns < TAIL_MS * NS_PER_MS

    def clean(self, chunk: AudioChunk, *, ran_dry: bool = False) -> AudioChunk:
        """The chunk without what was played; the very same chunk where nothing was.

        `ran_dry`: the speaker was left without samples a short time ago, so what is heard has holes.
        """
        if not self.hears_itself(chunk.t_ns):
            self._reference.pause()
            self.talked_over = False
            return chunk
        self._own_voice_detector.hear(chunk.pcm)
        played = self._reference.take(chunk.t_ns, len(chunk.pcm))
        self._own_voice = self._own_voice_detector.is_own_voice(self._reference, ran_dry=ran_dry)
        self.talked_over = self._double_talk.is_talked_over(chunk.pcm, played, own_voice=self._own_voice)
        return AudioChunk(chunk.t_ns, chunk.seq, frozen(self._canceller.process(chunk.pcm, played)), chunk.rate_hz)

    def own_voice(self) -> bool:
        """Whether the last of the microphone's sound is what was played: the canceller may still be learning."""
        return self._reference.is_placed and self._own_voice
