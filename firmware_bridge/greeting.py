"""How a session begins, the host's side: greet, compare protocols, exchange keys.

The host greets until the device answers. Both greetings carry a fresh nonce and are the prologue of the key
exchange, so an old or altered greeting cannot complete it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from firmware_bridge.protocol import HASH, VERSION, layout, value_of
from firmware_bridge.security import Handshake, Sealer

REPEAT_US = 150_000  # a greeting or key that gets no answer is sent again
_HELLO, _NOISE = layout("frame_hello"), layout("frame_noise")
_KIND_HELLO, _KIND_NOISE1, _KIND_NOISE2 = (value_of(f"FRAME_{name}") for name in ("HELLO", "NOISE1", "NOISE2"))
_REPLY, _SEALED = value_of("HELLO_REPLY"), value_of("HELLO_SEALED")
_MAGIC, _NONCE_BYTES = value_of("PROTOCOL_MAGIC"), value_of("NONCE_BYTES")
_FIXED_BYTES = 16  # of a greeting, the same in every version


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """This peer is not to be talked to; `why` is a link.Why, the message says what to do."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class Greeting:
    """One attempt at a time: `begin`, then `due` and `answered` until it is "done"."""

    def __init__(self, key: bytes | None, random: Callable[[int], bytes]) -> None:
        self._key, self._random = key, random
        self._epoch = int.from_bytes(random(4), "little")
        self.session = random(1)[0]
        self.begin()

    def begin(self) -> None:
        """A fresh greeting; answers to earlier ones no longer count."""
        self.session = (self.session + 1) & 0xFF
        self._nonce = self._random(_NONCE_BYTES)
        self._hello = _HELLO.pack(
            _KIND_HELLO, VERSION, _SEALED if self._key else 0, self.session, _MAGIC, HASH, self._epoch,
            self._nonce, bytes(_NONCE_BYTES),
        )  # fmt: skip
        self._handshake: Handshake | None = None
        self._out = self._hello
        self.due_us, self.peer_epoch = 0, 0
        self.sealer: Sealer | None = None
        self.advice = "no answer to the greeting: is this the device, is it on, is the speed right?"

    def due(self, now_us: int) -> bytes | None:
        """The body to send now."""
        if now_us < self.due_us:
            return None
        self.due_us = now_us + REPEAT_US
        return self._out

    def answered(self, body: bytes) -> Literal["keying", "done"] | None:
        """Takes a HELLO or NOISE2 body; None for one that answers something else.

        Raises Refused, and LinkError: NOT_AUTHENTIC.
        """
        if body[0] == _KIND_NOISE2:
            return self._keyed(body)
        if self._handshake or not self._is_answer(body):
            return None
        _, _, flags, _, _, _, self.peer_epoch, _, _ = _HELLO.unpack(body)
        if bool(flags & _SEALED) != bool(self._key):
            raise _unequal(bool(self._key))
        if self._key is None:
            return "done"
        self._handshake = Handshake(self._key, self._hello + body)
        self._out, self.due_us = bytes((_KIND_NOISE1, self.session)) + self._handshake.first, 0
        self.advice = "the device does not answer to this key: wrong pairing code? pair again"
        return "keying"

    def _is_answer(self, body: bytes) -> bool:
        """Whether it answers this greeting. Raises Refused when it does, in another protocol."""
        if len(body) < _FIXED_BYTES or int.from_bytes(body[4:8], "little") != _MAGIC or not body[2] & _REPLY:
            return False
        if body[3] != self.session:
            return False
        if body[8:16] != HASH or body[1] != VERSION or len(body) != _HELLO.size:
            older = "firmware" if body[1] < VERSION else "host software" if body[1] > VERSION else "firmware or host"
            raise Refused(
                "wrong_protocol",
                f"the device speaks protocol {body[1]} ({body[8:16].hex()}), this host {VERSION} ({HASH.hex()}): "
                f"update the {older} so that both are built from one protocol.h",
            )
        return body[-_NONCE_BYTES:] == self._nonce

    def _keyed(self, body: bytes) -> Literal["done"] | None:
        if self._handshake is None or len(body) != _NOISE.size or body[1] != self.session:
            return None
        _, _, ephemeral, tag = _NOISE.unpack(body)
        self.sealer = self._handshake.finish(ephemeral, tag)
        return "done"


def _unequal(have_key: bool) -> Refused:
    if have_key:
        return Refused(
            "not_authentic", "this host has a key, but who answers wants to speak in clear: not this device?"
        )
    return Refused("key_needed", "the device speaks sealed only: pair it (glasses link pair ADDRESS)")
