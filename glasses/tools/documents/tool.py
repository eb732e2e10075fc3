"""The tool that finds what the wearer's documents say, and says it as a quotation."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace

from glasses.encoders.sentence import FILES, MODEL, SentenceEncoder
from glasses.errors import ModelError
from glasses.model_store.store import path_of
from glasses.tools.documents.index import DocumentIndex, Found
from glasses.tools.documents.wording import query_of
from glasses.tools.tool import Tool, ToolContext, tool

log = logging.getLogger(__name__)
INDEX_NAME = "documents.db"  # in the state folder
MAX_QUOTED = 280  # characters: some 20 s of speech
QUOTED = 200  # more sentences than one, up to so many
NOTHING = "I find nothing about that in your documents."
ENCODE_S = 2.0  # for sentences that are new; what is left is found by its words meanwhile
EMPTY = "There are no documents in your folders."


def search_tool(index: DocumentIndex) -> Tool:
    """The tool `search_documents` over an index."""

    @tool(
        examples=("What do my notes say about the boiler?", "Look up the hotel in my documents."),
        reads_only=True,
        questions={"question": "What shall I look for?"},
    )
    def search_documents(context: ToolContext, question: str) -> str:
        """Finds what the wearer's notes and documents say about something."""
        del context
        if not index.update():
            return EMPTY
        index.encode(time.monotonic() + ENCODE_S)
        found = index.search(question)
        return quoted(found[0], question) if found else NOTHING

    return replace(search_documents, origin="your documents")


def quoted(found: Found, question: str) -> str:
    """The sentence that fits the question best, as a quotation with the file that it is from."""
    under = f", under {found.heading.split('. ')[-1]}" if found.heading else ""
    sentences = found.text.split("\n")
    if len(found.text) > QUOTED:  # else all of it: its sentences explain each other
        sentences = sentences[_best(sentences, found, question) :]
    return f'Your file {name_of(found)} says{under}: "{_joined(sentences)}"'


def name_of(found: Found) -> str:
    """The file's name as it is said."""
    return re.sub(r"[-_\s]+", " ", found.path.stem).strip()


def _best(sentences: list[str], found: Found, question: str) -> int:
    """Which sentence of a passage fits best: that which was found, else the first with most of the question's words."""
    if found.sentence in sentences:
        return sentences.index(found.sentence)
    words = [word[:5] for word in query_of(question)]  # as far as most endings leave a word alone
    scores = [sum(word in one.lower() for word in words) for one in sentences]
    return scores.index(max(scores))


def open_encoder() -> SentenceEncoder | None:
    """The sentence encoder; None, logged, where its files are not here: words alone are searched then."""
    try:
        return SentenceEncoder(*(path_of(MODEL, name) for name in FILES))
    except ModelError as error:
        log.warning("documents are searched by their words only: %s", error)
        return None


def _joined(sentences: list[str]) -> str:
    """The first sentence, and those after it up to QUOTED characters."""
    said, *rest = sentences
    for one in rest:
        if len(said) + len(one) > QUOTED:
            break
        said += f" {one}" if said[-1] in ".!?:;," else f". {one}"
    return said if len(said) <= MAX_QUOTED else said[:MAX_QUOTED].rsplit(" ", 1)[0] + " ..."
