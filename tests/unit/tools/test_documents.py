"""Documents: what of them is read, how the index follows them, what is quoted."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from glasses.errors import InputError, Reason
from glasses.tools.documents import index as index_module
from glasses.tools.documents.index import DocumentIndex
from glasses.tools.documents.passages import Passage, passages_of, text_of
from glasses.tools.documents.tool import EMPTY, NOTHING, open_encoder, search_tool
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import Float32Array

NOTE = """\
# The car

The **Fiat** has [new tyres](http://example.org/x). Dr. Lamb drove it
yesterday.

## Garage
- Parked on level three
- [ ] Pay the ticket
"""


def found_in(folder: Path, question: str) -> list[str]:
    index = DocumentIndex(folder.parent / "state" / "documents.db", [folder])
    index.update()
    return [one.text for one in index.search(question)]


def said(folder: Path, question: str) -> str:
    store = ToolStore(":memory:")
    try:
        tool = search_tool(DocumentIndex(folder.parent / "state" / "documents.db", [folder]))
        return tool.call(ToolContext(datetime.now, store), {"question": question})
    finally:
        store.close()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def write_pdf(path: Path, text: str) -> None:
    writer = PdfWriter()
    page = writer.add_blank_page(width=300, height=300)
    font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")})
    font[NameObject("/BaseFont")] = NameObject("/Helvetica")
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = stream
    writer.write(path)


def test_passages_of_markdown_have_headings_and_sentences_without_marks() -> None:
    assert list(passages_of(NOTE)) == [
        Passage("The car", "The Fiat has new tyres.\nDr. Lamb drove it yesterday."),
        Passage("The car. Garage", "Parked on level three\nPay the ticket"),
    ]


def test_passages_of_a_long_text_are_short_and_lose_nothing() -> None:
    text = "\n".join(f"Sentence number {i} is about the thing {i}." for i in range(100))
    found = list(passages_of(text, markdown=False))
    assert "\n".join(one.text for one in found) == text
    assert max(len(one.text) for one in found) < 400


@pytest.mark.parametrize("text", ["[" * 200_000, " *a" * 70_000, "Mr. " * 50_000], ids=["links", "stars", "titles"])
def test_passages_of_hostile_marks_take_no_square_of_their_length(text: str) -> None:
    assert "".join("".join(one.text.split()) for one in passages_of(text))  # in a second, not in minutes


def test_text_of_html_is_what_is_seen(notes: Path) -> None:
    path = notes / "a.html"
    path.write_text("<title>T</title><h2>Cover</h2><p>Water &amp; fire<script>x()</script>.</p><p>Not theft.")
    assert list(passages_of(text_of(path))) == [Passage("Cover", "Water & fire.\nNot theft.")]


def test_text_of_pdf_is_its_text(notes: Path) -> None:
    write_pdf(notes / "policy.pdf", "The excess is 150 euros.")
    assert said(notes, "how high is the excess?") == 'Your file policy says: "The excess is 150 euros."'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF-1.4 nothing", Reason.CORRUPT),
        ("a.pdf", b"", Reason.CORRUPT),
        ("a.txt", b"\x00\x01\x02", Reason.CORRUPT),
        ("a.txt", b"x" * ((16 << 20) + 1), Reason.TOO_LARGE),
    ],
)
def test_text_of_what_is_no_document_is_an_error_and_the_rest_is_found(
    notes: Path, name: str, data: bytes, reason: Reason
) -> None:
    (notes / name).write_bytes(data)
    (notes / "car.md").write_text(NOTE)
    with pytest.raises(InputError) as failed:
        text_of(notes / name)
    assert failed.value.reason is reason
    assert found_in(notes, "tyres") == ["The Fiat has new tyres.\nDr. Lamb drove it yesterday."]
    assert len(DocumentIndex(notes.parent / "state" / "documents.db", [notes]).problems()) == 1


def test_update_reads_what_is_new_or_changed_only_and_forgets_what_is_gone(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(index_module, "text_of", lambda path: read.append(path.name) or text_of(path))
    (notes / "a.txt").write_text("The key is under the mat.")
    (notes / "b.txt").write_text("The ladder is in the shed.")
    assert found_in(notes, "ladder") == ["The ladder is in the shed."]
    (notes / "a.txt").write_text("The key is behind the clock.")
    os.utime(notes / "a.txt", ns=(1, 1))
    (notes / "b.txt").unlink()
    assert found_in(notes, "key") == ["The key is behind the clock."]
    assert found_in(notes, "ladder") == []
    assert read == ["a.txt", "b.txt", "a.txt"]


def test_update_leaves_hidden_files_links_and_other_kinds_alone(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("The plum is secret.")
    (notes / "link.txt").symlink_to(tmp_path / "secret.txt")
    (notes / ".git").mkdir()
    for name in (".hidden.txt", ".git/config.txt", "program.exe"):
        (notes / name).write_text("The plum is secret.")
    assert found_in(notes, "plum") == []


def test_index_that_was_deleted_or_broken_is_made_anew(notes: Path) -> None:
    (notes / "a.txt").write_text("The key is under the mat.")
    assert found_in(notes, "key")
    path = notes.parent / "state" / "documents.db"
    path.unlink()
    assert found_in(notes, "key")
    path.write_bytes(b"no database at all" * 1000)
    assert found_in(notes, "key")
    assert path.stat().st_mode & 0o777 == 0o600


def test_search_with_marks_of_the_query_language_is_words(notes: Path) -> None:
    (notes / "a.txt").write_text("The key is under the mat.")
    assert found_in(notes, 'key" OR name:* NEAR(AND) -^') == ["The key is under the mat."]
    assert found_in(notes, '" * ( )') == []


def test_search_documents_quotes_the_sentence_with_its_file(notes: Path) -> None:
    (notes / "the-car.md").write_text(NOTE)
    assert said(notes, "On which level did I park?") == (
        'Your file the car says, under Garage: "Parked on level three. Pay the ticket"'
    )
    assert said(notes, "Where is the submarine?") == NOTHING


def test_search_documents_without_documents_says_so(notes: Path) -> None:
    assert said(notes, "Where is my key?") == EMPTY
    assert said(notes / "gone", "Where is my key?") == EMPTY


class Letters:
    """Encodes a text by whether it speaks of water or of fire; counts what it is asked."""

    def __init__(self, space: str = "letters:1") -> None:
        self.space = space
        self.asked: list[str] = []

    def encode(self, text: str) -> Float32Array:
        self.asked.append(text)
        kinds = ("water river rain", "fire flame burn")
        found = np.array([any(word in text for word in kind.split()) for kind in kinds], np.float32)
        return found / max(1.0, float(np.linalg.norm(found)))


def test_search_by_meaning_finds_other_words_and_encodes_each_sentence_once(notes: Path, tmp_path: Path) -> None:
    (notes / "a.txt").write_text("The river rose.\nThe flame went out.\n")
    encoder = Letters()
    index = DocumentIndex(tmp_path / "x.db", [notes], lambda: encoder)
    index.update()
    assert index.search("is there rain?") == []  # nothing is encoded yet, and no word is the same
    assert index.encode()
    assert index.encode()
    assert [one.sentence for one in index.search("is there rain?")] == ["The river rose."]
    assert index.search("is there cheese?") == []
    assert len([one for one in encoder.asked if one.startswith("a: ")]) == 2
    other = Letters("letters:2")
    assert DocumentIndex(tmp_path / "x.db", [notes], lambda: other).encode()
    assert len(other.asked) == 2


def test_encode_stops_in_time_and_words_are_searched_until_all_is_encoded(notes: Path, tmp_path: Path) -> None:
    (notes / "a.txt").write_text("The river rose.")
    index = DocumentIndex(tmp_path / "x.db", [notes], Letters)
    index.update()
    assert not index.encode(0.0)
    assert [one.text for one in index.search("the river")] == ["The river rose."]


def test_shipped_encoder_finds_what_no_word_tells(notes: Path) -> None:
    encoder = open_encoder()
    assert encoder is not None
    (notes / "car.md").write_text(NOTE)
    (notes / "bread.txt").write_text("Bake it for forty minutes, then wait a day before you cut it.")
    index = DocumentIndex(notes.parent / "x.db", [notes], lambda: encoder)
    index.update()
    assert index.encode()
    assert index.search("Where did I leave my vehicle?")[0].sentence == "Parked on level three"
    assert index.search("When may I slice the loaf?")[0].path.name == "bread.txt"
    assert index.search("Who is the king of Sweden?") == []


def test_shipped_encoder_splits_words_as_bert_does() -> None:
    encoder = open_encoder()
    assert encoder is not None
    pieces = encoder._pieces
    names = {id: token for token, id in pieces._ids.items()}
    found = [names[id] for id in pieces.ids_of("Caf\u00e9s don't re-embed $5!\x07 \U0001f600", 64)]
    assert found[1:-1] == ["cafes", "don", "'", "t", "re", "-", "em", "##bed", "$", "5", "!", "[UNK]"]
    assert len(pieces.ids_of("word " * 500, 128)) == 128
    assert pieces.ids_of("x" * 200, 8) == pieces.ids_of("\U0001f600", 8)
