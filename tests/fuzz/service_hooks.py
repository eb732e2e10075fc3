"""Lets Schemathesis send wire messages: encodes what it generated from a message's schema into bytes.

SCHEMATHESIS_HOOKS=tests.fuzz.service_hooks schemathesis run http://127.0.0.1:PORT/v1/openapi.json
"""

from __future__ import annotations

import json
import struct
from typing import Any

import schemathesis  # pyright: ignore[reportMissingImports]  (the extra `fuzz`)

MAX_ARRAY_BYTES = 1 << 20  # of the sizes a header claims, what is really sent; the rest is missing, as from an attacker
_ITEM_BYTES = {"f32": 4, "f16": 2, "i8": 1}


@schemathesis.serializer("application/x-glasses-wire")
def wire(_ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """The header as JSON, and as many bytes of arrays as it asks for, where it can be understood at all."""
    header = json.dumps(value).encode()
    sizes = [_n_bytes(spec) for spec in value.get("arrays") or []] if isinstance(value, dict) else []
    return struct.pack("<4sI", b"GLW1", len(header)) + header + bytes(min(sum(sizes), MAX_ARRAY_BYTES))


def _n_bytes(spec: Any) -> int:
    """Zero for what is no array."""
    try:
        (n, d), dtype = spec["shape"], spec["dtype"]
        return max(0, int(n * d * _ITEM_BYTES[dtype] + (0 if dtype == "f32" else 4 * n)))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
