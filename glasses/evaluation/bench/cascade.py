"""The baseline: Whisper's own decoder (faster-whisper, int8) -> text -> the same backbone -> the same voice.

It runs in the same pipeline, with the same VAD, turn manager and head start: what is said is transcribed again and
again while the wearer speaks, and the answer is prepared from the transcript. Only the input differs: text.
Needs the extra `baseline` and: glasses models pull whisper-tiny-en-ct2.

It is made as fast as those parts go: greedy, without timestamps, without a second try at a higher temperature, and on a
window as long as what was said instead of Whisper's 30 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_encoder import EncodedTurn, Head, TurnEncoder
from glasses.evaluation import whisper_baseline
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.modalities import question_about
from glasses.types import SAMPLE_RATE_HZ, Float32Array, Turn

Transcribe = Callable[[Float32Array], str]
_SPARE_S = 1.0  # of silence after what was said: Whisper is trained to hear the end


def transcriber() -> Transcribe:
    """Whisper's decoder for turns, int8 on one thread. Raises ModelError: NOT_FOUND (not pulled), NOT_INSTALLED."""
    whisper = whisper_baseline.open_whisper(n_threads=1, compute_type="int8")

    def transcribe(pcm: Float32Array) -> str:
        segments, _ = whisper.transcribe(
            pcm,
            language="en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            chunk_length=min(30, math.ceil(len(pcm) / SAMPLE_RATE_HZ + _SPARE_S)),
        )
        return " ".join(segment.text for segment in segments)

    return transcribe


def text_rows(loaded: LoadedBundle, text: str) -> Float32Array:
    """The user's rows of a typed turn, float32 (n, n_embd): bit for bit what its tokens are looked up to."""
    asked = loaded.backbone.tokenize(text, special=False) or loaded.backbone.tokenize(question_about(frozenset()))
    return loaded.backbone.token_rows(asked)


class CascadeEncoder(TurnEncoder):
    """Gives the responder a transcript instead of latents; the same end-of-turn head decides when a turn ends."""

    def __init__(self, loaded: LoadedBundle, end_of_turn: Head | None, transcribe: Transcribe) -> None:
        super().__init__(loaded, end_of_turn=end_of_turn)
        self._transcribe = transcribe

    def encode(self, pcm: Float32Array, end_ns: int, state: DraftState, *, wants_image: bool) -> EncodedTurn:
        """The turn as text. Raises as the encoder does."""
        del wants_image
        completeness = None
        if self._end_of_turn is not None and state is not DraftState.PARTIAL:
            completeness = self._end_of_turn(self._loaded.audio_encoder.encode(pcm, self.start_ns))
        text = self._transcribe(pcm).strip()
        turn = Turn(self.turn_id, end_ns, self.cause, (text,))
        return EncodedTurn(turn, text_rows(self._loaded, text), completeness)
