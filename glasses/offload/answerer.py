"""Answers turns with the local backbone and a remote model: `--offload URL` of `glasses ask` and `glasses run`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import psutil

from glasses.assistant.reply import CompletedTurn, TurnProgress, Write
from glasses.backbone.inputs import ModelInput
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.repetition import stop_on_repetition
from glasses.errors import InputError, Reason
from glasses.events import Draft
from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import RemoteModel
from glasses.offload.turn import LocalModel, OffloadedTurn
from glasses.runtime.prompt import suffix_of
from glasses.service.client.transport import Transport, WebSocket
from glasses.service.server.token_file import read_token
from glasses.types import Token, Turn

WAIT_MS = 1400.0  # from a completed turn to its first token, local or remote: 1.5 s with what follows
CONNECT_S = 2.0  # that `ask` waits for the first connection; `run` never waits


def transport_of(url: str, token_file: Path | None, authority: Path | None) -> Callable[[], Transport]:
    """What connects to the service at `url`. Raises InputError where it cannot be one, or a file cannot be read."""
    token = read_token(token_file) if token_file else None
    try:
        tls = ssl.create_default_context(cafile=authority) if url.startswith("wss:") else None
    except OSError as error:
        why = error.strerror or error
        raise InputError(Reason.BAD_INPUT, f"--offload: cannot use the authority {authority}: {why}") from error
    WebSocket(url)  # an address that cannot be one is refused now, not in the background
    return lambda: WebSocket(url, token=token, tls=tls, dtype="f16")


class HedgedAnswerer:
    """`with HedgedAnswerer(make_transport) as answerer:`; `answer` once a turn, from the thread of the backbone."""

    def __init__(self, make_transport: Callable[[], Transport], limits: Limits | None = None) -> None:
        self._limits, self._remote = limits or Limits(), RemoteModel(make_transport)
        self._allowed: Callable[[], bool] = lambda: True
        self.why = ""  # the last turn's decision

    def __enter__(self) -> Self:
        self._remote.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._remote.__exit__(*exc_info)

    def wait_connected(self, seconds: float = CONNECT_S) -> bool:
        """Whether the link is up, after waiting for it."""
        return self._remote.wait_connected(seconds)

    def answer(
        self,
        turn: Turn,
        local: LocalModel,
        *,
        max_tokens: int,
        wait_ms: float = WAIT_MS,
        progress: TurnProgress | None = None,
        local_only: bool = False,
    ) -> Iterator[Token]:
        """The tokens of one answer, from the local or the remote model.

        Raises what `local` raises, and ModelError(ABORTED) where `progress` does.
        """
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
        signals = Signals(
            connected=False,
            rtt_ms=None,
            bytes_per_s=None,
            to_send_bytes=0,
            remaining_ms=wait_ms,
            privacy="latents may leave",
            local_only=local_only,
            battery=None if battery is None or battery.power_plugged else battery.percent / 100,
        )
        offloaded = OffloadedTurn(turn, local, self._remote, signals, self._limits, progress or CompletedTurn())
        try:
            yield from offloaded.answer(max_tokens=max_tokens)
        finally:
            self.why = offloaded.decision.why if offloaded.decision else ""

    def remember(self, turn: Turn | None, said: str) -> None:
        """The Responder's `on_kept`: the service knows the turn from now on, or with None no turn any more."""
        if turn is None:
            self._remote.forget()
        else:
            self._remote.remember(turn.inputs, said, send=self._allowed())

    def writer(self, backbone: LlamaBackbone, max_tokens: int, *, allowed: Callable[[], bool] = lambda: True) -> Write:
        """The Responder's `write`.

        Every turn is answered locally while `allowed` says that nothing may be sent.
        """
        self._allowed = allowed

        def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
            local = PromptedBackbone(backbone, draft.turn.id)
            only = not allowed()
            answered = self.answer(draft.turn, local, max_tokens=max_tokens, progress=progress, local_only=only)
            try:
                for token in stop_on_repetition(answered):
                    yield token if local.made(token) else replace(token, token_id=-1)
            finally:
                answered.close()  # type: ignore[attr-defined]  # a generator: the remote model is told to stop

        return write


@dataclass(slots=True)
class PromptedBackbone:
    """The LocalModel over a backbone whose cache ends with a prompt."""

    backbone: LlamaBackbone
    turn_id: int
    _n_prompt: int = field(init=False)
    _made: list[Token] | None = None  # by the backbone since the prompt

    def __post_init__(self) -> None:
        self._n_prompt = self.backbone.n_past

    def __call__(self, said: str, max_tokens: int, top_k: int) -> Iterator[Token]:
        if self._made is not None or said:
            self._rewind([self.backbone.tokenize(said, special=False)] if said else [])
        self._made = []
        for token in self.backbone.generate(self.turn_id, max_tokens=max_tokens, top_k=top_k):
            self._made.append(token)
            yield token

    def made(self, token: Token) -> bool:
        """Whether `token` is the one that the backbone made last, not a remote model's."""
        last = self._made[-1] if self._made else None
        return last is not None and (last.token_id, last.logprob) == (token.token_id, token.logprob)

    def _rewind(self, inputs: list[ModelInput]) -> None:
        self.backbone.rollback(self._n_prompt - 1)
        self.backbone.feed([suffix_of(self.backbone)[-1:], *inputs])  # the prompt's last row gives the logits again
