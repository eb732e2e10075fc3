"""Collects the backbone's answers to typed sentences, as targets for training.

`python -m models.recipes.speech_answers GGUF SHARDS... --out OUT.jsonl` writes {"text", "answer"} lines for what is
said in the shards, questions first; texts that OUT already has are not answered again, so it resumes.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.recipes.chat_frame import STOP, SUFFIX
from models.recipes.frozen_backbone import Backbone, open_backbone

MAX_TOKENS = 24
BATCH = 32


@torch.inference_mode()
def greedy(backbone: Backbone, asked: list[list[int]]) -> list[str]:
    """The greedy answers to prompts of equal length, token ids after the prompt's head, at most MAX_TOKENS long.

    Equal lengths because a padded prompt would move the positions and with them the answer.
    """
    cache, eos = backbone.cache(len(asked)), backbone.ids(STOP)[0]
    tokens, answers = torch.tensor(asked), torch.zeros(len(asked), 0, dtype=torch.long)
    for _ in range(MAX_TOKENS):
        hidden = backbone.model.model(input_ids=tokens, past_key_values=cache, use_cache=True)[0]
        tokens = backbone.model.lm_head(hidden[:, -1:]).argmax(-1)
        answers = torch.cat([answers, tokens], dim=1)
        if bool((answers == eos).any(dim=1).all()):
            break
    return [_text(backbone, row, eos) for row in answers]


def _text(backbone: Backbone, row: Tensor, eos: int) -> str:
    ids = row.tolist()
    return backbone.tokenizer.decode(ids[: ids.index(eos)] if eos in ids else ids).strip()


def said_in(shards: list[Path]) -> list[str]:
    """Every sentence of the shards once, shuffled, questions first."""
    texts: set[str] = set()
    for path in (p for folder in shards for p in folder.glob("*.npz")):
        with np.load(path) as shard:
            texts.update(map(str, shard["texts"]))
    order = sorted(text for text in texts if len(text.split()) > 1)
    random.Random(0).shuffle(order)
    return sorted(order, key=lambda text: not text.endswith("?"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer the training sentences in text.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=4000)
    args = parser.parse_args()
    done = {json.loads(line)["text"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    backbone = open_backbone(args.gguf)
    suffix = backbone.ids(SUFFIX)
    by_length: dict[int, list[tuple[str, list[int]]]] = {}
    for text in said_in(args.shards)[: args.count]:
        if text not in done:
            ids = backbone.ids(text[0].upper() + text[1:]) + suffix
            by_length.setdefault(len(ids), []).append((text, ids))
    with args.out.open("a") as out:
        for alike in by_length.values():
            for i in range(0, len(alike), BATCH):
                batch = alike[i : i + BATCH]
                for (text, _), answer in zip(batch, greedy(backbone, [ids for _, ids in batch]), strict=True):
                    print(json.dumps({"text": text, "answer": answer}, ensure_ascii=False), file=out, flush=True)


if __name__ == "__main__":
    main()
