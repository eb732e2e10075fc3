"""The text of a document, and its passages: some sentences under a heading, the unit that is searched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from glasses.errors import InputError, Reason

MAX_FILE_BYTES = 16 << 20
MAX_TEXT = 2 << 20  # characters of one file: a thousand pages
MAX_PAGES = 1000  # of a PDF
PASSAGE = 320  # characters of a passage, where sentences allow it
MAX_SENTENCE = 600
_MAX_BLOCK = 2000  # characters that are searched for marks and sentences at once, which takes their square
MARKDOWN, HTML, PDF = (".md", ".markdown"), (".html", ".htm"), (".pdf",)
SUFFIXES = (".txt", *MARKDOWN, *HTML, *PDF)
_BLOCKS = frozenset("p div li tr br h1 h2 h3 h4 h5 h6 section article table ul ol dt dd blockquote pre".split())
_UNSEEN = frozenset("script style head title template noscript".split())
_ENDS = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[A-Z0-9\"'(\u00c0-\u024f])")
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|Nr|Prof|e\.g|i\.e|approx|ca|bzw|z\.B)\.$")


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences of a document that follow each other, one a line; the headings above them, ". " between them."""

    heading: str
    text: str


def text_of(path: Path) -> str:
    """The document's text; in Markdown, headings included.

    Raises InputError: TOO_LARGE, UNSUPPORTED, NOT_INSTALLED, CORRUPT, BAD_INPUT where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in PDF:
                return _text_of_pdf(path)
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_FILE_BYTES >> 20} MB")
    if b"\0" in data[:4096]:
        raise InputError(Reason.CORRUPT, f"{path}: no text, whatever its name says")
    text = data.decode("utf-8-sig", errors="replace")
    return (_text_of_html(text) if path.suffix.lower() in HTML else text)[:MAX_TEXT]


def passages_of(text: str, *, markdown: bool = True) -> Iterator[Passage]:
    """The passages of a text, in order. With `markdown`, lines with # are headings and marks are left out."""
    headings: list[str] = []
    sentences: list[str] = []
    for block in _cut(_blocks(text[:MAX_TEXT], markdown=markdown)):
        if markdown and (heading := re.match(r"(#{1,6})\s+(.+)", block)):
            yield from _passage(headings, sentences)
            sentences = []
            headings = [*headings[: len(heading[1]) - 1], _plain(heading[2])]
            continue
        for sentence in _sentences(_plain(block) if markdown else block):
            if sentences and sum(map(len, sentences)) + len(sentence) > PASSAGE:
                yield from _passage(headings, sentences)
                sentences = []
            sentences.append(sentence)
    yield from _passage(headings, sentences)


def _passage(headings: list[str], sentences: list[str]) -> Iterator[Passage]:
    if sentences:
        yield Passage(". ".join(headings), "\n".join(sentences))


def _blocks(text: str, *, markdown: bool) -> Iterator[str]:
    """Paragraphs, joined to a line, list items and headings. In plain text each line may stand for itself."""
    lines: list[str] = []
    fenced = False
    for line in (*text.splitlines(), ""):
        stripped = " ".join(line.split())
        if markdown and stripped.startswith(("```", "~~~")):
            fenced = not fenced
            stripped = ""
        own = fenced or bool(re.match(r"(?:[-*+\u2022]|\d+[.)]|#{1,6}|\|)\s", stripped + " "))
        if lines and (own or not stripped or _is_whole(lines[-1])):
            yield " ".join(lines)
            lines = []
        if stripped:
            lines.append(re.sub(r"^(?:[-*+\u2022]|\d+[.)]) (?:\[[ xX]\] )?", "", stripped))
            if own:
                yield " ".join(lines)
                lines = []


def _cut(blocks: Iterator[str]) -> Iterator[str]:
    """Blocks of at most _MAX_BLOCK characters, cut between words where there are any."""
    for block in blocks:
        since = 0
        while len(block) - since > _MAX_BLOCK:
            space = block.rfind(" ", since + 1, since + _MAX_BLOCK)
            end = space if space > since else since + _MAX_BLOCK
            yield block[since:end]
            since = end + (space > since)
        yield block[since:]


def _is_whole(line: str) -> bool:
    """Whether a line ends as a sentence does, so that the next begins another."""
    return line.endswith((".", "!", "?", ":")) or len(line) < 60  # a short one was not broken to fit


def _sentences(block: str) -> Iterator[str]:
    held = ""
    for part in _ENDS.split(block):
        held = f"{held} {part}".strip()
        if _ABBREVIATED.search(held):
            continue
        yield held[:MAX_SENTENCE]
        held = ""
    if held:
        yield held[:MAX_SENTENCE]


def _plain(text: str) -> str:
    """Without the marks of Markdown, and of links only what is read."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__|`|~~)(.+?)\1", r"\2", text)
    text = re.sub(r"(?<!\w)[*_](\S.*?)[*_](?!\w)", r"\1", text)
    return re.sub(r"^[>#\s]+|\s+#+$", "", text)


class _Html(HTMLParser):
    """Collects the text that is seen; headings as Markdown has them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _BLOCKS:
            self.parts.append("\n\n" + ("#" * int(tag[1]) + " " if re.fullmatch("h[1-6]", tag) else ""))

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= self._unseen > 0 and tag in _UNSEEN
        if tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(re.sub(r"\s+", " ", data))


def _text_of_html(text: str) -> str:
    parser = _Html()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts)


def _text_of_pdf(path: Path) -> str:
    try:
        from pypdf import PdfReader  # noqa: PLC0415 (the extra may be missing)
    except ImportError as error:
        raise InputError(
            Reason.NOT_INSTALLED, f"{path.name}: PDF files need, from the checkout: pip install -e '.[documents]'"
        ) from error
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_FILE_BYTES >> 20} MB")
    pages: list[str] = []
    left = MAX_TEXT
    try:
        for page in PdfReader(path).pages[:MAX_PAGES]:
            pages.append(page.extract_text()[:left])
            left -= len(pages[-1])
            if left <= 0:
                break
    except Exception as error:  # of any type: the file is anybody's
        raise InputError(Reason.CORRUPT, f"{path}: not a PDF file that can be read: {error!r}"[:300]) from error
    return "\n\n".join(pages)
