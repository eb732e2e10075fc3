"""Measures what a backbone can do with typed words, before a connector is trained for it.

    python -m models.recipes.backbone_choice B.gguf [OTHER.gguf ...]

Word error rate of "Repeat the words." after each third of the held-out sentences, and how many of 15 everyday questions
are answered with a right word in the first sentence. Decoding is greedy.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.evaluation.speech import REPEAT, items, word_errors

SPEECH = Path(__file__).parents[1] / "eval" / "speech"
QUESTIONS = {
    "What is the capital of France?": "paris", "How many days are in a week?": "7|seven", "What do bees make?": "honey",
    "What color is the sky on a clear day?": "blue", "What is two plus three?": "5|five",
    "Who wrote Romeo and Juliet?": "shakespeare", "What is the opposite of hot?": "cold",
    "Which planet do we live on?": "earth", "What animal says meow?": "cat", "What do you use an umbrella for?": "rain",
    "Is ice hot or cold?": "cold", "In which country is Tokyo?": "japan", "What is the largest ocean?": "pacific",
    "How many legs does a spider have?": "8|eight", "What is ten minus four?": "6|six",
}  # fmt: skip


def right(answer: str, accepted: str) -> bool:
    """Whether the first sentence holds one of the words."""
    first = re.split(r"(?<=[.!?])\s|\n", answer.strip(), maxsplit=1)[0].lower()
    return re.search(rf"\b({accepted})\b", first) is not None


def asked(backbone: LlamaBackbone) -> Callable[[str], str]:
    """Answers typed text, in the model's own chat frame."""
    suffix = backbone.prompt_format.suffix
    backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
    start = backbone.n_past

    def answer(text: str) -> str:
        backbone.rollback(start)
        backbone.feed([backbone.tokenize(text, special=False), backbone.tokenize(suffix)])
        return "".join(piece.text for piece in backbone.generate(0, max_tokens=40))

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path, nargs="+")
    for path in parser.parse_args().gguf:
        began_s = time.monotonic()
        with LlamaBackbone(path, n_ctx=512, n_threads=1) as backbone:
            answer = asked(backbone)
            errors = [word_errors(i["text"], answer(i["text"] + REPEAT)) for i in items(SPEECH, "synthetic")[::3]]
            rate = sum(edits for edits, _ in errors) / sum(words for _, words in errors)
            known = sum(right(answer(question), accepted) for question, accepted in QUESTIONS.items())
            says = f"{backbone.n_embd}-d, repeats with {rate:.1%} errors, {known} of {len(QUESTIONS)} right"
        print(f"{path.name}: {says}, {time.monotonic() - began_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
