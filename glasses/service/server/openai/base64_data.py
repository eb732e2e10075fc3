"""Bytes from the text that clients put pictures and sounds into: base64, or a data URL.

What writes base64 differs: line breaks, no padding, the URL-safe alphabet, percent signs, upper-case schemes, media
types that are wrong or missing. All of it is read; what the bytes are, the bytes say.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes

from glasses.service.server.problems import FieldError

_DATA_URL = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_LIKE_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]{64,}")  # where a URL forgot to say so: no picture or sound is such text
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def data_of(text: str, where: str) -> bytes:
    """The bytes of base64 or of a data URL. Raises FieldError, which names `where`: another URL, no base64, nothing."""
    found = _DATA_URL.match(text)
    if found is None and _SCHEME.match(text):
        raise FieldError(where, "nothing is fetched here: give the data itself, data:image/jpeg;base64,...")
    body = text[found.end() :] if found else text
    is_base64 = found is None or ";base64" in found[1].lower().replace(" ", "") or _LIKE_BASE64.fullmatch(body)
    data = _of_base64(body, where) if is_base64 else unquote_to_bytes(body)
    if not data:
        raise FieldError(where, "empty (0 bytes): the camera or recorder may not have been ready")
    return data


def _of_base64(text: str, where: str) -> bytes:
    if "%" in text:
        text = unquote_to_bytes(text).decode("latin-1")
    text = _BLANKS.sub("", text).rstrip("=").replace("-", "+").replace("_", "/")
    if wrong := _NO_BASE64.search(text):
        raise FieldError(where, f"no base64: {wrong[0]!r} at character {wrong.start()}")
    if len(text) % 4 == 1:
        raise FieldError(where, f"base64 that is cut short: {len(text)} characters")
    return base64.b64decode(text + "=" * (-len(text) % 4))
