"""The tool that finds what the wearer's documents say, and says it as a quotation."""

from __future__ import annotations

import re
from dataclasses import replace

from glasses.tools.documents.index import DocumentIndex, Found
from glasses.tools.documents.wording import query_of
from glasses.tools.tool import Tool, ToolContext, tool

INDEX_NAME = "documents.db"  # in the state folder
MAX_QUOTED = 280  # characters: some 20 s of speech
QUOTED = 160  # more sentences than one, up to so many
NOTHING = "I find nothing about that in your documents."
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
        found = index.search(question)
        return quoted(found[0], question) if found else NOTHING

    return replace(search_documents, origin="your documents")


def quoted(found: Found, question: str) -> str:
    """The sentence that fits the question best, as a quotation with the file that it is from."""
    under = f", under {found.heading.split('. ')[-1]}" if found.heading else ""
    return f'Your file {name_of(found)} says{under}: "{best_sentence(found.text, question)}"'


def name_of(found: Found) -> str:
    """The file's name as it is said."""
    return re.sub(r"[-_\s]+", " ", found.path.stem).strip()


def best_sentence(text: str, question: str) -> str:
    """The sentence of a passage with most of the question's words, and what follows it where that is short."""
    words = [word[:5] for word in query_of(question)]  # as far as most endings leave a word alone
    sentences = text.split("\n")
    scores = [sum(word in one.lower() for word in words) for one in sentences]
    best, *rest = sentences[scores.index(max(scores)) :]
    for one in rest:
        if len(best) + len(one) > QUOTED:
            break
        best += f" {one}" if best[-1] in ".!?:;," else f". {one}"
    return best if len(best) <= MAX_QUOTED else best[:MAX_QUOTED].rsplit(" ", 1)[0] + " ..."
