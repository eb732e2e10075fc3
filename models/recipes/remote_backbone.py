"""The frozen backbone of a service, for recipes: `--through URL` trains the same code through its Gradient API.

The recipe waits for a service that was killed or cannot be reached, and sends the unanswered step again. No step is
done twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from glasses.service.client.gradient_client import GradientClient
from glasses.service.client.sync_client import SyncClient
from glasses.service.client.transport import WebSocket
from glasses.service.engines.torch.autograd import RemoteLoss
from models.recipes.frozen_backbone import Frozen, Prompt, open_backbone

WAIT_S = 900.0  # for a service that is gone


@dataclass(frozen=True, slots=True)
class RemoteBackbone:
    """`Frozen` over the wire; each text is tokenized once."""

    client: SyncClient
    loss: RemoteLoss
    _known: dict[str, tuple[list[int], Tensor]] = field(default_factory=dict)

    def ids(self, text: str) -> list[int]:
        """See `Frozen.ids`."""
        return self._tokens(text)[0]

    def rows(self, text: str) -> Tensor:
        """See `Frozen.rows`."""
        return self._tokens(text)[1]

    def answer_loss(self, prompts: Sequence[Prompt], replies: Sequence[list[int]]) -> Tensor:
        """See `Frozen.answer_loss`. Raises RemoteError."""
        return self.loss.cross_entropy(prompts, replies)

    def _tokens(self, text: str) -> tuple[list[int], Tensor]:
        if text not in self._known:
            ids, rows = self.client.tokenize(text, special=True)
            self._known[text] = ids, torch.from_numpy(rows.copy())
        return self._known[text]


@contextmanager
def open_frozen(gguf: Path, through: str | None = None, *, wait_s: float = WAIT_S) -> Iterator[Frozen]:
    """The backbone of `gguf` in this process, or the one of the service at `through` (unix:PATH, ws:// or wss://).

    Raises RemoteError: NO_NETWORK, REFUSED, UNSUPPORTED where the service has no Gradient API.
    """
    if through is None:
        yield open_backbone(gguf)
        return
    with SyncClient(lambda: WebSocket(through), resume_s=wait_s) as client:
        yield RemoteBackbone(client, RemoteLoss(GradientClient(client)))
