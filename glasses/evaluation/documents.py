"""How well questions find their sentence in a folder of notes: by words alone, and by meaning.

    python -m glasses.evaluation.documents

40 questions over 24 notes, half of them in other words than the note, and 10 that no note answers
(models/eval/documents). Right is the passage that holds the answer, first of all that were found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glasses.data import data_path
from glasses.tools.documents.index import DocumentIndex, Encoder
from glasses.tools.documents.tool import open_encoder, quoted


@dataclass(frozen=True, slots=True)
class Result:
    """Of `n` questions with an answer: right passage first, the answer quoted; of the others: nothing found."""

    passage: int
    quoted: int
    n: int
    nothing: int
    n_without: int


def measure(folder: Path, opener: Callable[[], Encoder | None]) -> Result:
    """Asks every question of `folder`'s questions.tsv: question, file, words of the answer; no file: no answer."""
    passage = said = n = nothing = n_without = 0
    with tempfile.TemporaryDirectory() as at:
        index = DocumentIndex(Path(at) / "index.db", [folder], opener)
        index.update()
        index.encode()
        for line in (folder / "questions.tsv").read_text(encoding="utf-8").splitlines():
            question, file, answer = line.split("\t")
            found = index.search(question)[:1]
            n, n_without = n + bool(file), n_without + (not file)
            nothing += not file and not found
            if file and found and found[0].path.name == file:
                passage += answer in found[0].text.replace("\n", " ")
                said += answer in quoted(found[0], question)
    return Result(passage, said, n, nothing, n_without)


def main() -> None:
    folder = data_path("models/eval/documents")
    print("| search | right passage first | the answer quoted | nothing where nothing is |\n|---|---|---|---|")
    for name, opener in (("words (BM25)", lambda: None), ("words and meaning", open_encoder)):
        one = measure(folder, opener)
        print(f"| {name} | {one.passage}/{one.n} | {one.quoted}/{one.n} | {one.nothing}/{one.n_without} |")


if __name__ == "__main__":
    main()
