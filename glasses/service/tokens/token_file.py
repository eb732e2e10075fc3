"""The file of added tokens, which several servers may share: a change of one is seen by the others, and never lost."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path

from glasses.errors import Reason, RemoteError
from glasses.service.tokens import added_tokens
from glasses.service.tokens.added_tokens import AddedTokens


@dataclass(slots=True)
class TokenFile:
    """The file `path` for one backbone, which has `n_vocab` tokens and rows of `n_embd`. Not thread-safe."""

    path: Path
    backbone_sha256: str
    n_vocab: int
    n_embd: int
    _read: tuple[int, int, int] | None = None  # the stamp of what was read or written last, None for no file

    def load(self) -> AddedTokens:
        """What it holds now. Raises as `added_tokens.load`."""
        self._read = self._stamp()
        return added_tokens.load(self.path, self.backbone_sha256, self.n_vocab, self.n_embd)

    def newer(self) -> AddedTokens | None:
        """What it holds, where another process has written it since. Raises as `load`."""
        return self.load() if self._stamp() != self._read else None

    def save(self, added: AddedTokens) -> None:
        """Raises RemoteError(BUSY), and writes nothing, where another process has written it since."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._stamp() != self._read:
                raise RemoteError(Reason.BUSY, "another server changed the added tokens meanwhile; ask again")
            added.save(self.path, self.backbone_sha256)
            self._read = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
