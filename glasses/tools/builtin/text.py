"""Reading out what is written in view, word for word."""

from __future__ import annotations

from typing import Literal

from glasses.errors import InputError, Reason
from glasses.tools.tool import ToolContext, tool

Page = Literal["", "next", "more", "continue", "back", "previous", "first", "last"]


@tool(
    examples=(
        "Read it to me.",
        "Read this.",
        "What does it say?",
        "What does the sign say?",
        "Read me the whole page.",
        "What is written there?",
        "Read the label out loud.",
        "Next page.",
        "Go back a page.",
        "Read on.",
    )
)
def read_text(context: ToolContext, page: Page = "") -> str:
    """Reads out the text in view, word for word, page by page."""
    if context.text is None:
        raise InputError(Reason.UNSUPPORTED, "There is nothing to read here: that needs the running glasses.")
    return context.text.read(page)
