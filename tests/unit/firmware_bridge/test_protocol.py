"""protocol.h defines the protocol: Python derives what the compiler does, and a change needs a new version."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from firmware_bridge import protocol
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.protocol import HEADER, HEADER_PATH

PINNED = {1: "43783ac3c5bb698f"}  # version: hash. A changed header needs a new version, and its line here.
MINIMAL = "#define PROTOCOL_VERSION 1\nenum message {\n MSG_A = 1,\n};\nstruct msg_a {\n uint16_t x;\n} PACKED;\n"


def test_protocol_changed_header_needs_a_new_version() -> None:
    assert PINNED.get(protocol.VERSION) == protocol.HASH.hex(), "protocol.h has changed: raise PROTOCOL_VERSION, pin it"


def test_protocol_layouts_are_those_of_the_compiler(tmp_path: Path) -> None:
    lines = []
    for name, layout in HEADER.layouts.items():
        lines.append(f'printf("{name} {layout.codec.size} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{field} {offset} %zu\\n", offsetof(struct {name}, {field}));'
            for field, offset in zip(layout.fields, layout.offsets, strict=True)
        ]
    for enum in HEADER.enums.values():
        lines += [f'printf("{name} {value} %d\\n", (int){name});' for name, value in enum.items()]
    for name, value in HEADER.defines.items():
        lines.append(f'printf("{name} {value} %lu\\n", (unsigned long){name});')
    source = '#include <stddef.h>\n#include <stdio.h>\n#include "protocol.h"\nint main(void) {' + "".join(lines) + "}"
    (tmp_path / "layouts.c").write_text(source)
    program = tmp_path / "layouts"
    command = ["cc", "-std=c11", "-Wall", "-Werror", f"-I{HEADER_PATH.parent}", "-o", str(program)]
    subprocess.run([*command, str(tmp_path / "layouts.c")], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(printed) == len(lines) > 200
    assert [line for line in printed if line.split()[1] != line.split()[2]] == []


def test_protocol_hash_ignores_comments_and_sees_every_change() -> None:
    text = HEADER_PATH.read_text()
    assert protocol.parse(text.replace('/* "!GLS" on the wire */', "/* other words */")).hash == protocol.HASH
    changes = {
        "MAX_MESSAGE 672": "MAX_MESSAGE 673",
        "uint16_t seq;": "uint32_t seq;",
        "STATUS_BUSY = 1": "STATUS_BUSY = 9",
    }
    for old, new in changes.items():
        assert old in text
        assert protocol.parse(text.replace(old, new)).hash != protocol.HASH


@pytest.mark.parametrize(
    "broken",
    [
        MINIMAL.replace("uint16_t", "size_t"),
        MINIMAL.replace("uint16_t x;", "uint16_t x[N];"),
        MINIMAL.replace("uint16_t x;", "uint8_t data[];\n uint16_t x;"),
        MINIMAL.replace("MSG_A = 1", "MSG_A"),
        MINIMAL.replace("MSG_A = 1,", "MSG_A = 1,\n MSG_B = 1,"),
        MINIMAL.replace("PACKED", ""),
        MINIMAL + "typedef int number;\n",
        MINIMAL + "#define SIZE (2 * 3)\n",
    ],
    ids=[
        "unknown type",
        "unknown array length",
        "open array not last",
        "id without value",
        "id used twice",
        "struct not packed",
        "typedef",
        "computed define",
    ],
)
def test_protocol_parse_header_not_fully_understood_is_refused(broken: str) -> None:
    protocol.parse(MINIMAL)
    with pytest.raises(LinkError) as refused:
        protocol.parse(broken)
    assert refused.value.reason is Reason.BAD_INPUT


def test_protocol_every_message_survives_encode_and_decode() -> None:
    for name in protocol.IDS:
        layout = protocol._LAYOUTS[protocol.IDS[name]]
        fields = {}
        for field, length in zip(layout.fields, layout.lengths, strict=True):
            fields[field] = tuple(range(1, length + 1)) if length else 1
        if name == "info":
            fields |= {"firmware_version": bytes((1, 2, 3)), "board": b"board".ljust(16, b"\0")}
        data = bytes(range(256)) if layout.tail else b""
        message = protocol.decode(protocol.encode(name, data, **fields))
        assert (message.name, message.fields, message.data) == (name, fields, data)


def test_protocol_message_ids_tell_the_sender() -> None:
    firmware = (HEADER_PATH.parent / "firmware" / "core" / "app_commands.c").read_text()
    handled = set(re.findall(r"case (MSG_\w+):", firmware))
    to_device = {name for name, value in HEADER.enums["message"].items() if value < 0x40 or value >= 0x80}
    assert to_device == handled


@pytest.mark.parametrize("message", [b"", b"\xff", b"\x02", b"\x02\x01\x00\x00", bytes((0x41,)) + bytes(700)])
def test_protocol_decode_damaged_message_is_corrupt(message: bytes) -> None:
    with pytest.raises(LinkError) as refused:
        protocol.decode(message)
    assert refused.value.reason is Reason.CORRUPT


def test_protocol_encode_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LinkError) as too_large:
        protocol.encode("log", bytes(protocol.max_data("log") + 1), level=1)
    assert too_large.value.reason is Reason.TOO_LARGE
    for fields in ({"on": 1}, {"on": 1, "codec": 256}, {"on": 1, "codec": 0, "more": 1}):
        with pytest.raises(LinkError) as bad:
            protocol.encode("mic", **fields)
        assert bad.value.reason is Reason.BAD_INPUT


def test_protocol_largest_sealed_message_fits_a_frame() -> None:
    data, tag = protocol.layout("frame_data").size, protocol.value_of("TAG_BYTES")
    sealed = protocol.layout("frame_sealed").size
    assert sealed + data + protocol.MAX_MESSAGE + tag <= protocol.MAX_BODY
    assert struct.calcsize("<BQIB") + 640 <= protocol.MAX_MESSAGE  # 20 ms of sound in one message
