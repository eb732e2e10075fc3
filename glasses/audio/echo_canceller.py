"""The assistant's own voice taken out of the microphone's sound: WebRTC's AEC3. Knows no device and no model.

While nothing is being played, and for a second after, the sound passes untouched: a canceller also filters, and what
nobody needs filtered the model should hear as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import soxr
from pywebrtc_audio import EchoCanceller

from glasses.audio.ring_buffer import samples
from glasses.types import NS_PER_MS, NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Int16Array, frozen

TAIL_MS = 1000  # the room's answer and the devices' delay after the last sample played
_SLIP = SAMPLE_RATE_HZ // 50  # 20 ms: the reference is placed anew where the clocks have come this far apart
_SLIP_NS, _PAUSE_NS = 20 * NS_PER_MS, 1000 * NS_PER_MS
_KEPT = 4 * SAMPLE_RATE_HZ
OWN = 0.85  # correlation with what was played from which the sound is that, and at most a whisper besides
_HEARD = SAMPLE_RATE_HZ * 3 // 10  # samples compared
_SINCE = SAMPLE_RATE_HZ * 4 // 25  # the same after a device ran dry
_DELAY = SAMPLE_RATE_HZ * 6 // 10  # longest delay of devices and room that is looked for
_RETURN_CHUNKS = 15  # 300 ms: what is heard of the speaker is no louder than it was within them, times the path's gain
_LEARNED = 25  # chunks of known own voice after which that gain is known
_FASTER, _SLOWER = 0.2, 0.005  # it is followed so fast upwards and downwards, a chunk
_OVER = 1.5  # times as loud as the speaker can be here: somebody else is
_PLAYS = 300.0  # RMS of int16 from which the speaker plays
_QUIET = 1e4  # mean square of int16: -50 dB of full scale, too quiet to be anybody's voice


class EchoSuppressor:
    """`played` blocks of the speaker and `clean` chunks of the microphone, both on the host's clock."""

    def __init__(self, speaker_rate_hz: int) -> None:
        self._canceller = EchoCanceller(sample_rate=SAMPLE_RATE_HZ)
        self._rate_hz = speaker_rate_hz
        self._resampler = self._new_resampler()
        self._far = np.zeros(0, np.int16)  # what was played, at 16 kHz
        self._far_ns = 0  # time of its first sample
        self._at: int | None = None  # next sample of it to be used
        self._loud_ns = -(10**18)
        self._near = np.zeros(_HEARD, np.int16)  # the last of the microphone's sound, as it came
        self._far_rms: deque[float] = deque(maxlen=_RETURN_CHUNKS)
        self._gain, self._learned = 0.0, 0  # of the path from speaker to microphone
        self._own = False
        self.talked_over = False  # the last chunk was louder than what is played can be here

    def _new_resampler(self) -> soxr.ResampleStream:
        return soxr.ResampleStream(self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality="LQ")

    def played(self, blocks: Sequence[tuple[int, Int16Array]]) -> None:
        """Takes what was handed to the speaker since, as (time, int16 (N,)), in order."""
        for t_ns, pcm in blocks:
            if pcm.any():
                self._loud_ns = t_ns
            elif not self.hears_itself(t_ns):
                continue  # all day long: not even silence is resampled
            gap_ns = t_ns - self._far_ns - len(self._far) * NS_PER_S // SAMPLE_RATE_HZ
            if -_PAUSE_NS < gap_ns < -_SLIP_NS:  # callbacks had come late until now: what is held was played sooner too
                self._far_ns += gap_ns
            elif not -_PAUSE_NS < gap_ns < _PAUSE_NS:  # the device was opened anew
                self._far, self._far_ns, self._at = np.zeros(0, np.int16), t_ns, None
                self._resampler = self._new_resampler()
            elif gap_ns > _SLIP_NS:  # it ran dry and played nothing for a while
                self._far = np.concatenate([self._far, np.zeros(samples(gap_ns), np.int16)])
            self._far = np.concatenate([self._far, self._resampler.resample_chunk(pcm)])
        if len(self._far) > _KEPT:
            cut = len(self._far) - _KEPT // 2
            self._far, self._far_ns = self._far[cut:], self._far_ns + cut * NS_PER_S // SAMPLE_RATE_HZ
            self._at = None if self._at is None else self._at - cut

    def hears_itself(self, t_ns: int) -> bool:
        """Whether sound at `t_ns` may hold something of what was played."""
        return t_ns - self._loud_ns < TAIL_MS * NS_PER_MS

    def clean(self, chunk: AudioChunk) -> AudioChunk:
        """The chunk without what was played; the very same chunk where nothing was."""
        if not self.hears_itself(chunk.t_ns):
            self._at, self.talked_over = None, False
            return chunk
        self._near = np.concatenate([self._near, chunk.pcm])[-_HEARD:]
        due = samples(chunk.t_ns - self._far_ns)
        if self._at is None or abs(due - self._at) > _SLIP:
            self._at = due
        far = np.zeros(len(chunk.pcm), np.int16)
        first, after = max(self._at, 0), max(self._at + len(far), 0)
        part = self._far[first:after]
        far[first - self._at : first - self._at + len(part)] = part
        self._at += len(far)
        self._own = any(self._was_played(self._near[-n:], self._at) for n in (_HEARD, _SINCE))
        self._compare(_rms(chunk.pcm), _rms(far))
        return AudioChunk(chunk.t_ns, chunk.seq, frozen(self._canceller.process(chunk.pcm, far)), chunk.rate_hz)

    def own_voice(self) -> bool:
        """Whether the last 300 ms of the microphone are what was played, delayed: the canceller may still be learning.

        Where a device ran dry within them, what came before and after lies at two delays: the last 160 ms alone are
        enough. Only where the path adds little of its own; a room's reverberation is the canceller's part.
        """
        return self._at is not None and self._own

    def _compare(self, near_rms: float, far_rms: float) -> None:
        """A voice over the reply is told from it at once: the canceller mutes its first 60 to 300 ms as well."""
        self._far_rms.append(far_rms)
        loudest = max(self._far_rms)
        if loudest < _PLAYS:
            self.talked_over = False
            return
        gain = near_rms / loudest
        if self._own:
            self._learned += 1
            self._gain += (_FASTER if gain > self._gain else _SLOWER) * (gain - self._gain)
        self.talked_over = self._learned > _LEARNED and gain > _OVER * self._gain

    def _was_played(self, heard: Int16Array, at: int) -> bool:
        near = heard.astype(np.float64)
        power = float((near**2).sum())
        far = self._far[max(0, at - len(near) - _DELAY) : at].astype(np.float64)
        if power < _QUIET * len(near) or len(far) < len(near):
            return False
        n_fft = 1 << (len(far) + len(near)).bit_length()
        product = np.fft.rfft(far, n_fft) * np.conj(np.fft.rfft(near, n_fft))
        correlation = np.abs(np.fft.irfft(product, n_fft)[: len(far) - len(near) + 1])
        energy = np.cumsum(np.concatenate([[0.0], far**2]))
        there = np.maximum(energy[len(near) :] - energy[: -len(near)], 1)
        return bool((correlation / np.sqrt(there * power)).max() >= OWN)


def _rms(pcm: Int16Array) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
