"""One turn, answered by the local backbone or by the remote model, once.

The policy runs in the thread that owns the local backbone: it steps the local generator directly and reads the remote
model's tokens from a queue. Nothing of the turn is sent before the turn is completed, for until then it is not known
whether it was meant for the assistant at all. A remote model that is lost or silent is left for good, and the local
backbone goes on after what was already said, so the user hears one answer whatever happens to the link.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from glasses.assistant.reply import CompletedTurn, TurnProgress
from glasses.offload.policy import Decision, Limits, Signals, decide, entropy_nats
from glasses.offload.remote import RemoteModel, RemoteStream, size_bytes
from glasses.types import Token, Turn

log = logging.getLogger(__name__)
TOP_K = 16  # of the first local token, for its entropy
STALL_S = 0.8  # without a token in the middle of a reply: the remote model is lost
_CHECK_S = 0.05  # between two checks whether the answer is still wanted
LocalModel = Callable[[str, int, int], Iterator[Token]]  # (text already said, most tokens, top k) -> tokens


@dataclass(slots=True)
class OffloadedTurn:
    """`answer` once. `signals` are the user's and the board's; those of the link are filled in."""

    turn: Turn
    local: LocalModel
    remote: RemoteModel
    signals: Signals
    limits: Limits = field(default_factory=Limits)
    progress: TurnProgress = field(default_factory=CompletedTurn)
    decision: Decision | None = None
    switched_ms: float | None = None  # from the remote's last sign of life to the first local token, if it was lost
    _stream: RemoteStream | None = None
    _sent_s: float = 0.0  # when the turn was sent, on the monotonic clock

    def answer(self, *, max_tokens: int = 64) -> Iterator[Token]:
        """The tokens of one answer; exactly the last has `last` set.

        Raises what `local` raises, and ModelError(ABORTED) once nobody waits for the answer any more.
        """
        self.decision = self._decide()
        log.info("turn %d %s", self.turn.id, self.decision.why)
        answered = self.local("", max_tokens, 0) if self.decision.place == "local" else self._hedged(max_tokens)
        try:
            for token in answered:
                self.progress.check()
                yield replace(token, turn_id=self.turn.id)
        finally:
            if self._stream:
                self._stream.close()

    def _decide(self) -> Decision:
        meter = self.remote.meter
        link = {"rtt_ms": meter.rtt_ms, "bytes_per_s": meter.bytes_per_s}
        to_send_bytes = sum(size_bytes(given) for given in self.turn.inputs)
        signals = replace(self.signals, connected=self.remote.connected, to_send_bytes=to_send_bytes, **link)
        return decide(signals, self.limits)

    def _hedged(self, max_tokens: int) -> Iterator[Token]:
        """Starts both models, or the remote one alone, and follows the one that is to answer."""
        assert self.decision is not None
        local = first = None
        sure, reserve_s = False, self.limits.reserve_ms / 1000
        if self.progress.is_completed:
            self._send(max_tokens)
        if self.decision.place == "hedge":
            local = self.local("", max_tokens, TOP_K)
            first = next(local)
            sure, reserve_s = entropy_nats(first.top) < self.limits.sure_nats, 0.0
        token = None if sure else self._first_of_remote(max_tokens, reserve_s)
        if token is not None:
            log.info("turn %d is answered remotely", self.turn.id)
            yield from self._follow(token, max_tokens)
            return
        log.info("turn %d is answered locally: %s", self.turn.id, "sure" if sure else "no remote token in time")
        if self._stream:
            self._stream.close()
        if local is None or first is None:
            local = self.local("", max_tokens, 0)
        else:
            yield first
        yield from local

    def _send(self, max_tokens: int) -> None:
        self._stream = self.remote.answer(self.turn.inputs, max_tokens)
        self._sent_s = time.monotonic()

    def _first_of_remote(self, max_tokens: int, reserve_s: float) -> Token | None:
        """The remote model's first token; None where it does not come in time."""
        self.progress.wait_completed()
        if self._stream is None:
            self._send(max_tokens)
        return self._next(self._sent_s + self.signals.remaining_ms / 1000 - reserve_s)

    def _next(self, until_s: float) -> Token | None:
        """The next remote token; None where the stream has ended or gives none until then. One that came is taken."""
        assert self._stream is not None
        while True:
            self.progress.check()
            left_s = until_s - time.monotonic()
            try:
                return self._stream.get(min(left_s, _CHECK_S))
            except queue.Empty:
                if left_s <= 0:
                    return None

    def _follow(self, token: Token | None, max_tokens: int) -> Iterator[Token]:
        """The remote answer from its first token on; where it breaks off, the local one from there."""
        said, n_tokens, alive_s = "", 0, time.monotonic()
        while token is not None:
            said, n_tokens, alive_s = said + token.text, n_tokens + 1, time.monotonic()
            yield token
            if token.last:
                return
            token = self._next(time.monotonic() + STALL_S)
        if self._stream:
            self._stream.close()
        self.remote.report_lost()
        log.warning("turn %d: the remote model was lost after %d tokens", self.turn.id, n_tokens)
        for made in self.local(said, max(1, max_tokens - n_tokens), 0):
            if self.switched_ms is None:
                self.switched_ms = 1000 * (time.monotonic() - alive_s)
            yield made
