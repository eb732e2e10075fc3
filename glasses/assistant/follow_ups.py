"""Whether speech that nobody touched for is the wearer going on: by the voice that spoke in the activated turn.

Within some seconds of a reply speech needs no touch. A television is always speaking within some seconds, and each
answer to it would open the next turn; so a follow-up has to be said by the voice that spoke in the activated turn, and
about as loud. The addressee head was tried beside it and left out: it takes 40% of television speech for a request and
misses 45% of follow-ups ("And of Spain?"), so that a sum of both tells less than the voice alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glasses.types import SAMPLE_RATE_HZ, Float32Array, Latents

SIMILARITY = 0.65  # of voices: 5% of follow-ups are below, 0.1 to 2% of television speech above (models/cards)
UNLIKE = 0.55  # below it after EARLY_MS of speech it is somebody else, whatever follows
EARLY_MS = 1600
QUIETER_DB = 10.0  # than the activated turn: not the wearer, whose mouth is always equally near to the microphone
REFERENCE_MS = 5000  # of the activated turn, from its first word on
MOST = 20  # follow-ups in a row; then a touch is needed
MOST_UNKNOWN = 1  # where no voice is known, because nothing was said in the turn or the bundle has no speaker encoder
_BLOCK = SAMPLE_RATE_HZ // 50
_ASKS = 0.5  # the addressee head's probability from which on an unknown voice asks for something

EncodeVoice = Callable[[Float32Array], Float32Array | None]  # sound -> unit vector; None: too little voice


class FollowUpJudge:
    """`remember` the activated turn's sound; then ask whether other speech `is_wearer`."""

    def __init__(self, encode_voice: EncodeVoice | None, addressee: Callable[[Latents], float] | None = None) -> None:
        """`addressee` decides alone where no voice is known; without it too, nobody's speech follows up."""
        self._encode, self._addressee = encode_voice, addressee
        self._pcm: Float32Array | None = None  # of the activated turn, until its voice is first needed
        self._voice: Float32Array | None = None
        self._level_db = 0.0

    def forget(self) -> None:
        """A touch or the wake word: whoever speaks now is the wearer."""
        self._pcm = self._voice = None

    def remember(self, pcm: Float32Array) -> None:
        """Takes what was said in an activated turn, float32 (N,) from the first word on. Costs nothing yet."""
        self._pcm, self._voice = pcm[: REFERENCE_MS * SAMPLE_RATE_HZ // 1000].copy(), None

    @property
    def most(self) -> int:
        """So many follow-ups in a row may be answered."""
        return MOST if self._reference() is not None else MOST_UNKNOWN if self._addressee else 0

    def similarity(self, pcm: Float32Array) -> float | None:
        """How much the voice in `pcm` is the wearer's, up to 1, 0 where it is too quiet; None where that is not known.

        Too little of a voice to tell is nobody's: 0.
        """
        reference = self._reference()
        if reference is None or self._encode is None:
            return None
        if level_db(pcm) < self._level_db - QUIETER_DB:
            return 0.0
        voice = self._encode(pcm)
        return 0.0 if voice is None else float(reference @ voice)

    def is_wearer(self, pcm: Float32Array, speech: Latents) -> bool:
        """Whether `pcm`, and its latents `speech`, is to be answered though nobody touched."""
        similarity = self.similarity(pcm)
        if similarity is not None:
            return similarity >= SIMILARITY
        return self._addressee is not None and self._addressee(speech) >= _ASKS

    def _reference(self) -> Float32Array | None:
        if self._pcm is not None and self._encode is not None:
            self._voice, self._level_db = self._encode(self._pcm), level_db(self._pcm)
            self._pcm = None
        return self._voice


def level_db(pcm: Float32Array) -> float:
    """How loud the louder 20 ms blocks of (N,) sound are, in dB of full scale: pauses do not count."""
    blocks = pcm[: len(pcm) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = float(np.percentile((blocks**2).mean(axis=1), 90)) if len(blocks) else 0.0
    return float(10 * np.log10(power + 1e-12))
