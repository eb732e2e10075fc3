"""QR and bar codes in view, read out. What one holds is anybody's: it is told, never opened, fetched or obeyed."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from glasses.errors import InputError, Reason
from glasses.media.codes import Code, read_codes
from glasses.media.view_quality import why_unseen
from glasses.tools import words
from glasses.tools.printable import printable
from glasses.tools.tool import ToolContext, tool

NO_CODE = "I see no code that I can read. Hold it closer, and still."
MAX_TOLD = 160  # characters of one code: some ten seconds of speech
MAX_CODES = 5  # of one picture
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{1,20}:\S", re.IGNORECASE)


@tool(
    examples=(
        "What does the QR code say?",
        "Scan this code.",
        "Read the bar code.",
        "What is in this QR code?",
        "Read me the code.",
        "Where does this QR code lead?",
        "Scan the barcode for me.",
        "Is there a QR code here?",
    ),
    reads_only=True,
)
def read_code(context: ToolContext) -> str:
    """Reads the QR codes and bar codes in view, and opens nothing."""
    picture = context.picture()
    found = read_codes(picture)
    if not found:
        raise InputError(Reason.NOT_FOUND, why_unseen(picture) or NO_CODE)
    if len(found) == 1:
        return told(found[0], "The")
    more = f" And {len(found) - MAX_CODES} more." if len(found) > MAX_CODES else ""
    return f"I see {len(found)} codes. " + " ".join(told(code, "A") for code in found[:MAX_CODES]) + more


def told(code: Code, article: str) -> str:
    """What the wearer is told of a code: its text without what would steer a terminal or a voice, shortened.

    Of an address the host is named, as a long address hides it, and that it is not opened.
    """
    text = " ".join(printable(code.text.replace("\n", " ").replace("\t", " ")).split())
    shown = text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD].rstrip()}… and {len(text) - MAX_TOLD} more characters"
    if not text:
        return f"{article} {code.kind} holds nothing that can be said."
    if not _ADDRESS.match(text):
        return words.sentence(f"{article} {code.kind} says: {shown}")
    return words.sentence(f"{article} {code.kind} holds an address{_host(text)}, which I do not open: {shown}")


def _host(address: str) -> str:
    """Whose address it is, where that can be told; with a warning about letters that are easily taken for others."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return ""
    if not host or len(host) > MAX_TOLD:
        return ""
    return f" at {host}" if host.isascii() else f" at {host}, whose letters may not be what they look like"
