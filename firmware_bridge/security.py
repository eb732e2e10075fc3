"""Keys and encrypted frames: Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b, the host's side.

Noise Protocol Framework, revision 34. X25519, ChaCha20-Poly1305 come from `cryptography`, BLAKE2b and HMAC from the
standard library. Both greetings are the prologue, so neither can be changed on the way or replayed.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.protocol import value_of

NAME = b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b"
CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 signs that are not mistaken for one another
CODE_SIGNS = 20  # 100 bits: too many to guess, whoever has recorded a greeting
MAX_COUNTER = 0xFFFFFFFF
_REPLAY_BITS = 64  # how far behind the newest a frame may come, as in IPsec (RFC 4303, 3.4.3)
_KIND_SEALED = value_of("FRAME_SEALED")


def new_pairing_code() -> str:
    """A fresh code as the device shows it: five groups of four signs."""
    signs = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_SIGNS))
    return "-".join(signs[i : i + 4] for i in range(0, CODE_SIGNS, 4))


def key_of(code: str) -> bytes:
    """The link's 32-byte key of a pairing code, however it was typed. Raises LinkError: BAD_INPUT."""
    signs = re.sub(r"[\s-]", "", code).upper()
    if len(signs) != CODE_SIGNS or set(signs) - set(CODE_ALPHABET):
        raise LinkError(Reason.BAD_INPUT, f"a pairing code has {CODE_SIGNS} of the signs {CODE_ALPHABET}")
    return hashlib.blake2b(signs.encode(), digest_size=32, person=b"glasses-link-psk").digest()


class Handshake:
    """The initiator of one key exchange: `first` goes out, `finish` takes what comes back."""

    def __init__(self, key: bytes, prologue: bytes, private: bytes | None = None) -> None:
        self._hash = self._chain = NAME.ljust(64, b"\0")
        self._mix_hash(prologue)
        self._chain, to_hash, self._key = _hkdf(self._chain, key, 3)
        self._mix_hash(to_hash)
        self._private = X25519PrivateKey.from_private_bytes(private) if private else X25519PrivateKey.generate()
        public = self._private.public_key().public_bytes_raw()
        self._mix_public(public)
        self.first = public + self._seal_empty()  # 32 + 16 bytes

    def finish(self, ephemeral: bytes, tag: bytes) -> Sealer:
        """The sealed channel. Raises LinkError: NOT_AUTHENTIC when the other side has another key."""
        state = copy.copy(self)  # a forged answer must not spoil the wait for the right one
        state._mix_public(ephemeral)
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            chain, key = _hkdf(state._chain, shared, 2)
            ChaCha20Poly1305(key[:32]).decrypt(_nonce(0), tag, state._hash)
        except (InvalidTag, ValueError) as error:
            raise LinkError(Reason.NOT_AUTHENTIC, "the device answered with another key: pair again") from error
        ours, theirs = _hkdf(chain, b"", 2)
        return Sealer(ours[:32], theirs[:32])

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.blake2b(self._hash + data).digest()

    def _mix_public(self, public: bytes) -> None:
        self._mix_hash(public)
        self._chain, self._key = _hkdf(self._chain, public, 2)  # in psk modes "e" also mixes the key

    def _seal_empty(self) -> bytes:
        tag = ChaCha20Poly1305(self._key[:32]).encrypt(_nonce(0), b"", self._hash)
        self._mix_hash(tag)
        return tag


class Sealer:
    """Both directions of one session. A counter is used once for sealing, and accepted once."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send, self._receive = ChaCha20Poly1305(send_key), ChaCha20Poly1305(receive_key)
        self._counter = 0
        self._seen = Replay()

    @property
    def worn_out(self) -> bool:
        """True when no counter is left: the link must greet anew."""
        return self._counter >= MAX_COUNTER

    def seal(self, session: int, body: bytes) -> bytes:
        """A sealed frame around `body`. The caller has looked at `worn_out`."""
        head = bytes((_KIND_SEALED, session)) + self._counter.to_bytes(4, "little")
        sealed = self._send.encrypt(_nonce(self._counter), body, head)
        self._counter += 1
        return head + sealed

    def open(self, frame: bytes) -> bytes | None:
        """What a sealed frame holds; None if it was not sealed by the peer, or has come before."""
        counter = int.from_bytes(frame[2:6], "little")
        if not self._seen.is_new(counter):
            return None
        try:
            body = self._receive.decrypt(_nonce(counter), frame[6:], frame[:6])
        except (InvalidTag, ValueError):
            return None
        self._seen.add(counter)
        return body


class Replay:
    """Which counters have been seen, for a window behind the newest."""

    def __init__(self) -> None:
        self._newest, self._seen = -1, 0

    def is_new(self, counter: int) -> bool:
        """False for one that came before, or is too old to tell."""
        behind = self._newest - counter
        return behind < 0 or (behind < _REPLAY_BITS and not self._seen >> behind & 1)

    def add(self, counter: int) -> None:
        """Marks an authentic one as seen."""
        ahead = counter - self._newest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, _REPLAY_BITS) | 1) & ((1 << _REPLAY_BITS) - 1)
            self._newest = counter
        else:
            self._seen |= 1 << -ahead


def _nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


def _hkdf(chain: bytes, data: bytes, outputs: int) -> tuple[bytes, ...]:
    """Noise, section 4.3, with HMAC-BLAKE2b of 64 bytes."""
    secret, made = hmac.digest(chain, data, "blake2b"), [b""]
    for i in range(outputs):
        made.append(hmac.digest(secret, made[-1] + bytes((i + 1,)), "blake2b"))
    return tuple(made[1:])
