"""Encrypted recordings open for their owner alone."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses.errors import InputError, Reason
from glasses.recording.encryption import EncryptedReader, EncryptedWriter, read_private_key, read_public_key
from glasses.recording.folder import segments
from tests.unit.recording.samples import read, record, sound


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one, as the module's documentation says to make them."""
    private, public = tmp_path / "owner.pem", tmp_path / "owner.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def test_read_encrypted_recording_opens_only_with_the_owners_key(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    folder, given = tmp_path / "sealed", list(sound(300))
    record(folder, [*given], public_key=read_public_key(keys[1]))
    (segment,) = segments(folder)
    assert segment.path.name.endswith(".mcap.sealed")
    assert given[0].pcm[1:100].tobytes() not in segment.path.read_bytes()
    own = read_private_key(keys[0])
    assert len(read(segment.path, own)) == 300
    with pytest.raises(InputError, match="--key"):
        read(segment.path)
    with pytest.raises(InputError) as error:
        read(segment.path, X25519PrivateKey.generate())
    assert error.value.reason is Reason.REFUSED
    with pytest.raises(InputError, match="no public key"):
        read_public_key(keys[0])
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="cut off"):
        read(segment.path, own)


def test_encrypted_reader_changed_cut_or_reordered_file_is_refused() -> None:
    own, plain = X25519PrivateKey.generate(), os.urandom(3 * 1000)
    out = io.BytesIO()
    writer = EncryptedWriter(out, own.public_key())
    ends = [out.tell()]
    for i in range(3):
        writer.write(plain[1000 * i : 1000 * (i + 1)])
        writer.flush()
        ends.append(out.tell())
    writer.finish()
    whole = out.getvalue()
    head, first, second, rest = whole[: ends[0]], whole[ends[0] : ends[1]], whole[ends[1] : ends[2]], whole[ends[2] :]

    def opened_again(data: bytes) -> tuple[bytes, bool]:
        reader = EncryptedReader(io.BytesIO(data), own, "sealed")
        return reader.readall(), reader.is_truncated

    assert opened_again(whole) == (plain, False)
    assert opened_again(head + first + second) == (plain[:2000], True)
    assert opened_again((head + first + second)[:-1]) == (plain[:1000], True)
    for changed in (head + second + first + rest, head + second + rest, head + first + rest, whole[:-1] + b"x"):
        with pytest.raises(InputError, match="was changed"):
            opened_again(changed)
    with pytest.raises(InputError, match="claims"):
        opened_again(head + b"\xff\xff\xff\xff")
