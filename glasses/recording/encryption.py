"""Encrypted files that this device can write but not read: only the owner of a private key kept elsewhere can.

Hybrid encryption from `cryptography`: HPKE (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305) encrypts a fresh file
key for the public key. The content follows in frames under that key, each with a counter and a mark of the last one in
its nonce (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar 2015, as in age), so frames can be neither
swapped nor dropped unnoticed, and a file that was cut off is told from a whole one.

Keys are PEM as OpenSSL makes them:
    openssl genpkey -algorithm x25519 -out owner.pem && openssl pkey -in owner.pem -pubout -out owner.pub
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from glasses.errors import InputError, Reason

MAGIC = b"GLSEAL1\n"
FRAME_BYTES = 64 * 1024  # of plain text, at most
_TAG_BYTES = 16
_MAX_KEY_FILE_BYTES = 16 * 1024
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"glasses sealed file 1"  # of the format, as MAGIC: files of older versions must open
_ENCRYPTED_KEY_BYTES = 32 + 32 + _TAG_BYTES  # HPKE's encapsulated key, the file key, its tag


class EncryptedWriter:
    """A stream that encrypts what is written. `flush` ends a frame: flushed bytes survive the process."""

    def __init__(self, out: BinaryIO, public_key: X25519PublicKey) -> None:
        self._out, self._waiting, self._n_frames, self._n_bytes = out, bytearray(), 0, 0
        key = os.urandom(32)
        self._cipher = ChaCha20Poly1305(key)
        out.write(MAGIC + _SUITE.encrypt(key, public_key, _INFO))

    def write(self, data: bytes | memoryview) -> int:
        """Takes plain bytes."""
        self._waiting += data
        self._n_bytes += len(data)
        while len(self._waiting) >= FRAME_BYTES:
            self._write_frame(last=False)
        return len(data)

    def tell(self) -> int:
        """Plain bytes so far."""
        return self._n_bytes

    def flush(self) -> None:
        """Encrypts what waits and hands it to the operating system."""
        if self._waiting:
            self._write_frame(last=False)
        self._out.flush()

    def finish(self) -> None:
        """Marks the end; without it the file reads as cut off."""
        self._write_frame(last=True)
        self._out.flush()

    def _write_frame(self, *, last: bool) -> None:
        plain = bytes(self._waiting[:FRAME_BYTES])
        del self._waiting[:FRAME_BYTES]
        sealed = self._cipher.encrypt(_nonce(self._n_frames, last), plain, None)
        self._n_frames += 1
        self._out.write((len(sealed) << 1 | last).to_bytes(4, "big") + sealed)


class EncryptedReader(io.RawIOBase):
    """The plain bytes of an encrypted stream; ends early, with `is_truncated` set, where the file was cut off."""

    def __init__(self, source: BinaryIO, private_key: X25519PrivateKey, name: str) -> None:
        """Raises InputError: CORRUPT (no encrypted file), REFUSED (encrypted for another key)."""
        self._source, self._name, self._n_frames, self._rest, self._ended = source, name, 0, b"", False
        self.is_truncated = False
        if source.read(len(MAGIC)) != MAGIC:
            raise InputError(Reason.CORRUPT, f"{name} is not an encrypted file")
        try:
            key = _SUITE.decrypt(source.read(_ENCRYPTED_KEY_BYTES), private_key, _INFO)
        except (InvalidTag, ValueError) as error:
            raise InputError(
                Reason.REFUSED, f"{name} was encrypted for another key (or its head is damaged)"
            ) from error
        self._cipher = ChaCha20Poly1305(key)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fills what one frame holds. Raises InputError(CORRUPT) for a frame that was changed."""
        while not self._rest and not self._ended:
            self._rest = self._next_frame()
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)

    def _next_frame(self) -> bytes:
        head = int.from_bytes(self._source.read(4), "big")
        size, last = head >> 1, bool(head & 1)
        if size > FRAME_BYTES + _TAG_BYTES:
            raise InputError(Reason.CORRUPT, f"{self._name}: frame {self._n_frames} claims {size:,} bytes")
        sealed = self._source.read(size)
        if size < _TAG_BYTES or len(sealed) < size:
            self._ended = self.is_truncated = True
            return b""
        try:
            plain = self._cipher.decrypt(_nonce(self._n_frames, last), sealed, None)
        except InvalidTag as error:
            raise InputError(Reason.CORRUPT, f"{self._name}: frame {self._n_frames} was changed") from error
        self._n_frames += 1
        self._ended = last
        return plain


def read_public_key(path: Path) -> X25519PublicKey:
    """The public key in a PEM file. Raises InputError: NOT_FOUND, BAD_INPUT."""
    try:
        key = load_pem_public_key(_key_file(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(Reason.BAD_INPUT, f"{path} holds no public key in PEM") from error
    if not isinstance(key, X25519PublicKey):
        raise InputError(Reason.BAD_INPUT, f"{path} holds a key of another kind: openssl genpkey -algorithm x25519")
    return key


def read_private_key(path: Path) -> X25519PrivateKey:
    """The private key in a PEM file without a passphrase. Raises InputError: NOT_FOUND, BAD_INPUT."""
    try:
        key = load_pem_private_key(_key_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(Reason.BAD_INPUT, f"{path} holds no private key in PEM, or one with a passphrase") from error
    if not isinstance(key, X25519PrivateKey):
        raise InputError(Reason.BAD_INPUT, f"{path} holds a key of another kind: openssl genpkey -algorithm x25519")
    return key


def _key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"cannot read the key {path}: {error.strerror}") from error


def _nonce(n: int, last: bool) -> bytes:
    return n.to_bytes(11, "big") + bytes([last])
