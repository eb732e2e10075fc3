"""Decides when a draft of the open turn is made.

While the user speaks a draft is made again and again, so that the reply can be prepared. At the first quiet moment one
is made as if silence followed: where it does, that draft is the turn, and nothing is encoded once more at its end.
"""

from __future__ import annotations

from enum import StrEnum

from glasses.assistant.listener_config import ListenerConfig
from glasses.audio.silence_predictor import SilencePredictor
from glasses.audio.vad import STEP_NS
from glasses.types import NS_PER_MS, Float32Array


class DraftState(StrEnum):
    """What a draft is taken to be."""

    PARTIAL = "partial"  # more speech will come
    SPECULATIVE = "speculative"  # made at a quiet moment: it may be the whole turn
    FINAL = "final"  # the whole turn, unless speech resumes


class Source(StrEnum):
    """Who saw the silence that a standing speculation assumes."""

    LOUDNESS = "loudness"
    VAD = "vad"


class Decision(StrEnum):
    """What is to be done with the draft after a step of sound."""

    NOTHING = "nothing"
    KEEP = "keep"  # the speculation stands: its completeness counts
    RETRACT = "retract"  # speech went on: the draft is a partial one
    SPECULATE = "speculate"
    EXTEND = "extend"  # make a partial draft


class Speculator:
    """One turn's drafts: `state` of the last one, None before the first."""

    def __init__(self, config: ListenerConfig, predictor: SilencePredictor) -> None:
        self._config, self._predictor = config, predictor
        self.state: DraftState | None = None
        self.end_ns = 0  # of the sound in the last draft
        self._speculation: Source | None = None  # standing, that nothing more will come
        self._due_ns = self._took_ns = 0

    def begin_turn(self, start_ns: int) -> None:
        """A turn whose sound starts at `start_ns`."""
        self._predictor.begin()
        self.state, self._speculation = None, None
        self._due_ns = start_ns + self._config.first_draft_ms * NS_PER_MS

    def continue_turn(self, now_ns: int) -> None:
        """The turn before goes on: what was drafted of it is no longer all of it."""
        self.state, self._speculation, self._due_ns = None, None, now_ns

    def cancel(self) -> None:
        """The turn has changed otherwise than by sound: a speculation on it no longer stands."""
        self._speculation = None

    def forget(self) -> None:
        """There is no draft any more."""
        self.state = None

    def hear(self, pcm: Float32Array, *, is_speech: bool) -> bool:
        """Takes the next step of sound; True where it breaks the silence that a speculation had assumed."""
        self._predictor.step(pcm, is_speech=is_speech)
        broken = self._speculation is not None and not self._predictor.holds
        if broken:
            self._speculation = None
        return broken

    def decide(self, now_ns: int, speech_end_ns: int) -> Decision:
        """What is to be done after a step up to `now_ns`, whose last speech ended at `speech_end_ns`."""
        quiet_ns = now_ns - speech_end_ns
        if self._stands(now_ns, quiet_ns):
            return Decision.KEEP
        self._speculation = None
        if quiet_ns == 0 and self.state in (DraftState.SPECULATIVE, DraftState.FINAL):
            self.state = DraftState.PARTIAL
            return Decision.RETRACT
        if self._may_speculate(quiet_ns):
            self._speculation = Source.VAD if quiet_ns else Source.LOUDNESS
            self._predictor.assume_silence()
            return Decision.SPECULATE
        return Decision.EXTEND if quiet_ns == 0 and now_ns >= self._due_ns else Decision.NOTHING

    def made(self, state: DraftState, end_ns: int) -> None:
        """A draft was made of the sound up to `end_ns`."""
        self.state, self.end_ns = state, end_ns

    def schedule(self, now_ns: int, took_ns: int) -> None:
        """The draft made at `now_ns` took so long: the next partial one waits accordingly."""
        self._took_ns = took_ns
        wait_ns = max(self._config.draft_every_ms * NS_PER_MS, self._config.draft_cost_ratio * took_ns)
        self._due_ns = now_ns + wait_ns

    def promote(self, until_ns: int) -> bool:
        """Whether the speculative draft is the turn up to `until_ns`, so that it becomes the final one as it is."""
        if self._speculation is None or self.state is None:
            return False
        self._speculation, self.state, self.end_ns = None, DraftState.FINAL, until_ns
        return True

    def has_final_of(self, end_ns: int) -> bool:
        """Whether the last draft is the final one of the sound up to `end_ns`."""
        return self.state is DraftState.FINAL and self.end_ns == end_ns

    def _stands(self, now_ns: int, quiet_ns: int) -> bool:
        """Whether a speculation holds: the voice detector agrees that it is quiet, or cannot have noticed yet."""
        lags = self._speculation is Source.LOUDNESS and now_ns - self.end_ns <= self._config.vad_lag_ms * NS_PER_MS
        return self._speculation is not None and (quiet_ns > 0 or lags)

    def _may_speculate(self, quiet_ns: int) -> bool:
        is_quick = 0 < self._took_ns <= self._config.max_speculative_draft_ms * NS_PER_MS
        if self.state is None or not is_quick:
            return False
        return quiet_ns == STEP_NS or (quiet_ns == 0 and self._predictor.is_quiet)
