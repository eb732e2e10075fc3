"""What the backbone answers to the typed sentences: the teacher's side of step 2. Knows no sound.

`python -m models.recipes.speech_answers GGUF QUESTIONS.txt OUT.jsonl` writes {"text", "answer"} lines; it appends, so
it resumes.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import PREFIX, SUFFIX
from models.recipes.speech_text import chatterbot, split, spoken_to_glasses, whole_sentences

MAX_TOKENS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer the training questions in text.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("sampled", type=Path, help="lines of models.recipes.magpie")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2500)
    args = parser.parse_args()
    rng = random.Random(0)
    raw = [*whole_sentences(args.sampled.read_text().splitlines()), *chatterbot(), *spoken_to_glasses(1000, rng)]
    texts = [text for text in split(raw, rng)[0] if text.endswith("?")][: args.count]
    done = len(args.out.read_text().splitlines()) if args.out.exists() else 0
    with LlamaBackbone(args.gguf, n_threads=1) as backbone, args.out.open("a") as out:
        backbone.feed([backbone.tokenize(PREFIX)])
        n_prefix, suffix = backbone.n_past, backbone.tokenize(SUFFIX)
        for i, text in enumerate(texts[done:]):
            backbone.rollback(n_prefix)
            backbone.feed([backbone.tokenize(text[0].upper() + text[1:], special=False), suffix])
            answer = "".join(piece.text for piece in backbone.generate(i, max_tokens=MAX_TOKENS)).strip()
            print(json.dumps({"text": text, "answer": answer}, ensure_ascii=False), file=out, flush=i % 20 == 0)


if __name__ == "__main__":
    main()
