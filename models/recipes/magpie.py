"""Draws questions from the backbone itself: an empty user turn, sampled (Magpie, Xu et al. 2024).

`python -m models.recipes.magpie GGUF OUT.txt --count 2000` writes one raw line of a user a line; it appends, so it
resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from glasses.backbone.llama import LlamaBackbone

SYSTEMS = (
    "You are a helpful assistant. The user asks short questions aloud.",
    "The user asks one short question about everyday life, nature, science, history or geography.",
    "The user says one short sentence to a friend.",
)
MAX_TOKENS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample questions from the backbone.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    done = len(args.out.read_text().splitlines()) if args.out.exists() else 0
    with LlamaBackbone(args.gguf, n_threads=1) as backbone, args.out.open("a") as out:
        for i in range(done, args.count):
            system = SYSTEMS[i // 100 % len(SYSTEMS)]
            if i % 100 == 0 or i == done:
                backbone.rollback(0)
                prompt = backbone.prompt_format.prefix(system)
                backbone.feed([backbone.tokenize(prompt)[:-1]])
                n_prompt, last = backbone.n_past, backbone.tokenize(prompt)[-1:]
            backbone.rollback(n_prompt)
            backbone.feed([last])
            tokens = backbone.generate(i, max_tokens=MAX_TOKENS, temperature=1.0, top_p=0.95, seed=i)
            text = "".join(token.text for token in tokens).strip().split("\n")[0]
            print(text, file=out, flush=i % 20 == 0)


if __name__ == "__main__":
    main()
