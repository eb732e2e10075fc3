"""The wire as protocol.h defines it: ids, layouts and hash, read from the header itself.

A header that this parser does not fully understand is refused, so that no part of it is silently skipped.
"""

from __future__ import annotations

import hashlib
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from firmware_bridge.errors import LinkError, Reason

HEADER_PATH = Path(__file__).with_name("protocol.h")
_FORMATS = {"uint8_t": "B", "int8_t": "b", "uint16_t": "H", "int16_t": "h"}
_FORMATS |= {"uint32_t": "I", "int32_t": "i", "uint64_t": "Q", "int64_t": "q"}
_NUMBER = r"0x[0-9a-fA-F]+|[0-9]+"
_IGNORED = re.compile(
    r"#ifndef GLASSES_PROTOCOL_H\n|#define GLASSES_PROTOCOL_H\n|#include <stdint.h>\n|#endif\s*$|"
    r"#define PACKED __attribute__\(\(packed\)\)\n"
)
_DEFINE = re.compile(rf"#define (\w+) ({_NUMBER})\s*$", re.M)
_ENUM = re.compile(r"enum (\w+)\s*\{([^{}]*)\};")
_STRUCT = re.compile(r"struct (\w+)\s*\{([^{}]*)\}\s*PACKED;")
_FIELD = re.compile(r"(u?int(?:8|16|32|64)_t) (\w+)(?:\[(\w*)\])?$")


@dataclass(frozen=True, slots=True)
class Layout:
    """One packed struct: `codec` packs its fixed part, little-endian; `tail` says that free bytes follow."""

    name: str
    fields: tuple[str, ...]
    lengths: tuple[int, ...]  # elements of each field; 0: a plain number
    codec: struct.Struct
    offsets: tuple[int, ...]
    tail: bool


class Message(NamedTuple):
    """One parsed message. `fields` are numbers, bytes (uint8_t arrays) or tuples of numbers."""

    id: int
    name: str
    fields: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """All of protocol.h. `hash` is what both sides greet with: 8 bytes, the same whatever the comments say."""

    defines: dict[str, int]
    enums: dict[str, dict[str, int]]
    layouts: dict[str, Layout]
    hash: bytes


def parse(text: str) -> Header:
    """Reads a header. Raises LinkError: BAD_INPUT with the first thing it does not understand."""
    bare = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    bare = re.sub(r"[ \t]+", " ", bare).replace(" \n", "\n").replace("\n ", "\n")
    rest = _IGNORED.sub("", bare)
    defines = {name: int(value, 0) for name, value in _DEFINE.findall(rest)}
    rest = _DEFINE.sub("", rest)
    enums = {name: _enum(name, body) for name, body in _ENUM.findall(rest)}
    rest = _ENUM.sub("", rest)
    layouts = {name: _layout(name, body, defines) for name, body in _STRUCT.findall(rest)}
    if left := _STRUCT.sub("", rest).strip():
        raise LinkError(Reason.BAD_INPUT, f"protocol.h: not understood: {left.splitlines()[0]!r}")
    for name, value in enums.get("message", {}).items():
        if layouts.get(name.lower()) is None and f"struct {name.lower()} " in text:
            raise LinkError(Reason.BAD_INPUT, f"protocol.h: {name} ({value}) has a struct that was not read")
    digest = hashlib.blake2b(" ".join(bare.split()).encode(), digest_size=defines.get("HASH_BYTES", 8)).digest()
    return Header(defines, enums, layouts, digest)


def _enum(name: str, body: str) -> dict[str, int]:
    values: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in body.split(","))):
        match = re.fullmatch(rf"(\w+) = ({_NUMBER})", entry)
        if match is None or match[1] in values or int(match[2], 0) in values.values():
            raise LinkError(Reason.BAD_INPUT, f"protocol.h: enum {name}: {entry!r} needs a value of its own")
        values[match[1]] = int(match[2], 0)
    return values


def _layout(name: str, body: str, defines: dict[str, int]) -> Layout:
    fields, lengths, codes, offsets, tail = [], [], "<", [], False
    for entry in filter(None, (part.strip() for part in body.split(";"))):
        match = _FIELD.match(entry)
        if match is None or tail:
            raise LinkError(Reason.BAD_INPUT, f"protocol.h: struct {name}: {entry!r} is not a field, or follows a tail")
        kind, field, count = match.groups()
        if count == "" and kind == "uint8_t" and field == "data":
            tail = True
            continue
        length = 0 if count is None else int(count, 0) if count[:1].isdigit() else defines.get(count, 0)
        if count is not None and length < 1:
            raise LinkError(Reason.BAD_INPUT, f"protocol.h: struct {name}: unknown length in {entry!r}")
        offsets.append(struct.calcsize(codes))
        code = _FORMATS[kind]
        codes += f"{length}s" if code == "B" and length else f"{length or ''}{code}"
        fields.append(field)
        lengths.append(0 if code == "B" and length else length)
    return Layout(name, tuple(fields), tuple(lengths), struct.Struct(codes), tuple(offsets), tail)


HEADER = parse(HEADER_PATH.read_text())
VERSION = HEADER.defines["PROTOCOL_VERSION"]
HASH = HEADER.hash
MAX_MESSAGE = HEADER.defines["MAX_MESSAGE"]
MAX_BODY = HEADER.defines["MAX_BODY"]
MAX_WINDOW = HEADER.defines["MAX_WINDOW"]
IDS = {name.removeprefix("MSG_").lower(): value for name, value in HEADER.enums["message"].items()}
NAMES = {value: name for name, value in IDS.items()}
_EMPTY = Layout("", (), (), struct.Struct("<"), (), False)
_LAYOUTS = {value: HEADER.layouts.get(f"msg_{name}", _EMPTY) for name, value in IDS.items()}


def value_of(name: str) -> int:
    """A #define or an enum's value, by its name in the header. Raises KeyError."""
    found = HEADER.defines.get(name)
    return found if found is not None else next(enum[name] for enum in HEADER.enums.values() if name in enum)


def layout(name: str) -> struct.Struct:
    """The packed fixed part of a struct of the header."""
    return HEADER.layouts[name].codec


def max_data(name: str) -> int:
    """Free bytes that one message `name` can carry."""
    return MAX_MESSAGE - 1 - _LAYOUTS[IDS[name]].codec.size


def encode(name: str, data: bytes = b"", /, **fields: Any) -> bytes:
    """One message: its id, its fields, its free bytes. Raises LinkError: BAD_INPUT, TOO_LARGE."""
    layout = _LAYOUTS[IDS[name]]
    if tuple(sorted(fields)) != tuple(sorted(layout.fields)) or (data and not layout.tail):
        raise LinkError(Reason.BAD_INPUT, f"{name} has fields {layout.fields}{' and data' if layout.tail else ''}")
    values: list[Any] = []
    for field, length in zip(layout.fields, layout.lengths, strict=True):
        values.extend(fields[field]) if length else values.append(fields[field])
    try:
        message = bytes((IDS[name],)) + layout.codec.pack(*values) + data
    except struct.error as error:
        raise LinkError(Reason.BAD_INPUT, f"{name}: {error} in {fields}") from error
    if len(message) > MAX_MESSAGE:
        raise LinkError(Reason.TOO_LARGE, f"{name}: {len(data)} bytes of data, at most {max_data(name)}")
    return message


def decode(message: bytes) -> Message:
    """Parses one message. Raises LinkError: CORRUPT for an unknown id or a length its layout does not allow."""
    layout = _LAYOUTS.get(message[0]) if message else None
    if layout is None:
        raise LinkError(Reason.CORRUPT, f"message {message[:1].hex() or '(empty)'}: not in protocol.h")
    end = 1 + layout.codec.size
    if len(message) < end or (len(message) > end and not layout.tail) or len(message) > MAX_MESSAGE:
        raise LinkError(Reason.CORRUPT, f"{NAMES[message[0]]}: {len(message)} bytes, its layout has {end}")
    values = iter(layout.codec.unpack_from(message, 1))
    fields = {
        field: tuple(next(values) for _ in range(length)) if length else next(values)
        for field, length in zip(layout.fields, layout.lengths, strict=True)
    }
    return Message(message[0], NAMES[message[0]], fields, message[end:])


def main() -> None:
    """`python -m firmware_bridge.protocol`: the C header with the hash, for the firmware's build."""
    sys.stdout.write(f"#define PROTOCOL_HASH {{{', '.join(f'0x{byte:02x}' for byte in HASH)}}}\n")


if __name__ == "__main__":
    main()
