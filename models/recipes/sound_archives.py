"""Reads recordings out of files that hold many: Qt resource files, OpenTTD sound sets, OpenClonk groups, zip archives,
SoundFonts.

Every reader yields (name of the member, the member as a sound file in memory). Formats: Qt's qresource.cpp (versions
1-3), OpenTTD's
sound sets as read by its sound.cpp, OpenClonk's C4Group.cpp, SoundFont 2.04 (samples of the `smpl` chunk named by
`shdr`).
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SOUND_SUFFIXES = (".ogg", ".wav", ".mp3", ".flac", ".oga", ".opus", ".aif", ".aiff")
MAX_MEMBER_BYTES = 64 << 20
Member = tuple[str, bytes]


def members(path: Path) -> Iterator[Member]:
    """Yields every recording in the archive `path`; a plain sound file is its own only member, named ''."""
    readers = {".rcc": _qt_resources, ".cat": _openttd, ".sf2": _soundfont, ".pk3": _zip, ".zip": _zip, ".ocg": _clonk}
    reader = readers.get(path.suffix.lower())
    if reader:
        yield from reader(path)
    elif path.suffix.lower() in SOUND_SUFFIXES:
        yield "", path.read_bytes()


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.lower().endswith(SOUND_SUFFIXES) and info.file_size <= MAX_MEMBER_BYTES:
                yield info.filename, archive.read(info)


def _qt_resources(path: Path) -> Iterator[Member]:
    """Walks the tree of a binary Qt resource file. Nodes: name offset, flags, then either children or
    language and data.
    """
    blob = path.read_bytes()
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", blob)
    if magic != b"qres":
        raise ValueError(f"{path} is not a Qt resource file")
    node_size = 14 if version < 2 else 22

    def walk(index: int, folder: str) -> Iterator[Member]:
        name_at, flags = struct.unpack_from(">IH", blob, tree + index * node_size)
        length = struct.unpack_from(">H", blob, names + name_at)[0]
        name = folder + blob[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:  # a folder
            count, first = struct.unpack_from(">II", blob, tree + index * node_size + 6)
            for child in range(first, first + count):
                yield from walk(child, name + "/" if index else "")
        elif name.lower().endswith(SOUND_SUFFIXES):
            at = data + struct.unpack_from(">I", blob, tree + index * node_size + 10)[0]
            size = struct.unpack_from(">I", blob, at)[0]
            packed = blob[at + 4 : at + 4 + size]
            yield name, zlib.decompress(packed[4:]) if flags & 1 else packed

    yield from walk(0, "")


def _openttd(path: Path) -> Iterator[Member]:
    """An offset table of (offset, size) pairs, then for each sound a pascal string and a WAV file."""
    blob = path.read_bytes()
    count = (struct.unpack_from("<I", blob)[0] & 0x7FFFFFFF) // 8
    for i in range(count):
        at = struct.unpack_from("<I", blob, i * 8)[0] & 0x7FFFFFFF
        name = blob[at + 1 : at + 1 + blob[at]].split(b"\0")[0].decode("latin-1")
        wav_at = at + 1 + blob[at]
        if blob[wav_at : wav_at + 4] != b"RIFF":
            continue
        size = struct.unpack_from("<I", blob, wav_at + 4)[0] + 8
        yield f"{i:02d} {name}", blob[wav_at : wav_at + size]


def _clonk(path: Path) -> Iterator[Member]:
    """A gzip stream with another magic number around a tree of groups: scrambled header, table of entries, members."""
    blob = path.read_bytes()
    if blob[:2] != b"\x1e\x8c":
        raise ValueError(f"{path} is not an OpenClonk group")
    yield from _clonk_group(zlib.decompressobj(31).decompress(b"\x1f\x8b" + blob[2:]), "")


def _clonk_group(blob: bytes, folder: str) -> Iterator[Member]:
    head = bytearray(byte ^ 237 for byte in blob[:204])
    for i in range(0, 202, 3):
        head[i], head[i + 2] = head[i + 2], head[i]
    count = struct.unpack_from("<i", head, 36)[0]
    for at in range(204, 204 + 316 * count, 316):
        name = folder + blob[at : at + 260].split(b"\0")[0].decode("latin-1")
        _, is_group, size, _, start = struct.unpack_from("<iiiii", blob, at + 260)
        start += 204 + 316 * count
        if is_group:
            yield from _clonk_group(blob[start : start + size], name + "/")
        elif name.lower().endswith(SOUND_SUFFIXES):
            yield name, blob[start : start + size]


def _chunks(blob: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= end:
        name, size = struct.unpack_from("<4sI", blob, at)
        yield name, at + 8, size
        at += 8 + size + (size & 1)


def _soundfont(path: Path) -> Iterator[Member]:
    """Each sample once as a WAV file; the one-channel halves of a stereo pair come as two members."""
    blob = path.read_bytes()
    found: dict[bytes, tuple[int, int]] = {}
    for name, at, size in _chunks(blob, 12, len(blob)):
        if name == b"LIST":
            found |= {inner: (start, n) for inner, start, n in _chunks(blob, at + 4, at + size)}
    (smpl, _), (shdr, n_shdr) = found[b"smpl"], found[b"shdr"]
    for i in range(n_shdr // 46 - 1):
        raw, start, end, _, _, rate_hz = struct.unpack_from("<20sIIIII", blob, shdr + i * 46)
        name = raw.split(b"\0")[0].decode("latin-1")
        pcm = np.frombuffer(blob, "<i2", count=end - start, offset=smpl + 2 * start)
        wav = io.BytesIO()
        soundfile.write(wav, pcm, max(rate_hz, 1000), format="WAV", subtype="PCM_16")
        yield f"{i:04d} {name}", wav.getvalue()
