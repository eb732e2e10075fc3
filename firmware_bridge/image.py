"""Firmware images: MCUboot's header and trailer, signed with EdDSA over BLAKE2b.

The firmware's build runs `python -m firmware_bridge.image key|sign`. The signature is Monocypher's own, made by the C
file that checks it on the device. Layouts: firmware/core/image.h.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import secrets
import struct
from pathlib import Path

from firmware_bridge.errors import LinkError, Reason

BUILD = Path(__file__).parent / "firmware" / "build"
_HEADER = struct.Struct("<IIHHIIBBHII")
_MAGIC, _TRAILER_MAGIC = 0x96F3B83D, 0x6907
_TLV_HASH, _TLV_SIGNATURE = 0xA0, 0xA1


def _monocypher() -> ctypes.CDLL:
    path = BUILD / "libmonocypher.so"
    if not path.exists():
        raise LinkError(Reason.NOT_FOUND, f"{path} is not built yet: make -C firmware_bridge/firmware host")
    return ctypes.CDLL(str(path))


def read_key(path: Path) -> bytes:
    """The 32-byte seed of a signing key; made, readable by its owner only, if there is no such file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    seed = bytes.fromhex(path.read_text())
    if len(seed) != 32:
        raise LinkError(Reason.CORRUPT, f"{path}: a signing key is 64 hex digits")
    return seed


def key_pair(seed: bytes) -> tuple[bytes, bytes]:
    """(secret of 64 bytes, public of 32 bytes)."""
    secret, public = ctypes.create_string_buffer(64), ctypes.create_string_buffer(32)
    _monocypher().crypto_eddsa_key_pair(secret, public, ctypes.create_string_buffer(seed, 32))
    return secret.raw, public.raw


def build_image(body: bytes, seed: bytes, version: tuple[int, int, int] = (0, 1, 0), load_address: int = 0) -> bytes:
    """A signed image around `body`. `version` is major, minor (8 bits each) and revision (16 bits)."""
    header = _HEADER.pack(_MAGIC, load_address, _HEADER.size, 0, len(body), 0, *version, 0, 0)
    digest = hashlib.blake2b(header + body, digest_size=32).digest()
    signature = ctypes.create_string_buffer(64)
    _monocypher().crypto_eddsa_sign(signature, key_pair(seed)[0], digest, ctypes.c_size_t(32))
    entries = struct.pack("<HH", _TLV_HASH, 32) + digest + struct.pack("<HH", _TLV_SIGNATURE, 64) + signature.raw
    return header + body + struct.pack("<HH", _TRAILER_MAGIC, 4 + len(entries)) + entries


def hash_of(image: bytes) -> bytes:
    """The hash that names an image in SMP. Raises LinkError: CORRUPT for anything but an image of this format."""
    if len(image) < _HEADER.size + 8 or int.from_bytes(image[:4], "little") != _MAGIC:
        raise LinkError(Reason.CORRUPT, "no firmware image: its first bytes are not MCUboot's")
    end = _HEADER.size + int.from_bytes(image[12:16], "little")
    magic, _ = struct.unpack_from("<HH", image, end) if end + 40 <= len(image) else (0, 0)
    kind, size = struct.unpack_from("<HH", image, end + 4) if magic == _TRAILER_MAGIC else (0, 0)
    digest = hashlib.blake2b(image[:end], digest_size=32).digest()
    if (kind, size) != (_TLV_HASH, 32) or image[end + 8 : end + 40] != digest:
        raise LinkError(Reason.CORRUPT, "firmware image damaged: its hash does not fit")
    return digest


def main() -> None:
    """Makes a key's C header, or signs a binary."""
    parser = argparse.ArgumentParser(prog="python -m firmware_bridge.image", description="Keys and signed images.")
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="write the public key as a C header, making the key if there is none")
    key.add_argument("--header", type=Path, required=True)
    sign = commands.add_parser("sign", help="wrap a binary into a signed image")
    sign.add_argument("binary", type=Path)
    sign.add_argument("image", type=Path)
    sign.add_argument("--version", default="0.1.0")
    sign.add_argument("--load-address", type=lambda text: int(text, 0), default=0)
    for command in (key, sign):
        command.add_argument("--key", type=Path, required=True)
    args = parser.parse_args()
    seed = read_key(args.key)
    if args.command == "key":
        numbers = ", ".join(f"0x{byte:02x}" for byte in key_pair(seed)[1])
        args.header.write_text(f"#define SIGNING_PUBLIC_KEY {{{numbers}}}\n")
        return
    major, minor, revision = (int(part) for part in args.version.split("."))
    image = build_image(args.binary.read_bytes(), seed, (major, minor, revision), args.load_address)
    part = args.image.with_suffix(".part")
    part.write_bytes(image)
    part.rename(args.image)


if __name__ == "__main__":
    main()
