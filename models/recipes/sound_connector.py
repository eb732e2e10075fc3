"""Trains the ambience connector of the pocket backbone and writes it as ONNX.

    python -m models.recipes.sound_connector --clips DIR --backbone B.gguf \\
        --encoder models/artifacts/whisper-tiny-en-encoder-int8.onnx --out models/artifacts/audio-ambience-pocket.onnx

1. The clips of sound_clips (encoder latents) are pooled and the units that name them are solved (sound_units).
2. Every unit's rows start as the backbone's own token rows of its words, inside a frame of token rows, so that the
   untouched backbone reads them already. The air rows start as the principal directions of the pooled clips.
3. With --steps N the rows learn, through the frozen backbone dequantised from the GGUF that will run, to be answered
with
   the name and to leave other questions alone (sound_align). --steps 0 stops after 2 and needs no pass through it.

Seeded; `DIR/ambience.pt` is the checkpoint of step 3 and `--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glasses.backbone.llama import LlamaBackbone
from glasses.encoders.audio import space_of
from models.recipes import sound_units
from models.recipes.sound_examples import replies
from models.recipes.sound_model import N_BEGIN, N_NAME, N_ROWS, RANK, AmbienceConnector, export

BEGIN, AIR, END = "The sound of", "\n", "\n"
SHARPER = 6.0  # than calibrated: token rows of many distant names average to words that mean something else
AIR_RMS = 0.03  # beside token rows of 0.136: there to be read, too little to be mistaken for words
Array = NDArray[np.float32]


def principal(x: Array, rank: int, rng: np.random.Generator) -> Array:
    """(d, rank) directions of the rows of `x`, each scaled to unit deviation (randomised SVD, Halko et al. 2011)."""
    sketch = x @ rng.standard_normal((x.shape[1], rank + 8)).astype(np.float32)
    basis, _ = np.linalg.qr(x @ (x.T @ sketch))
    _, values, directions = np.linalg.svd(basis.T @ x, full_matrices=False)
    return (directions[:rank].T / (values[:rank] / len(x) ** 0.5)).astype(np.float32)


def name_rows(reply: str, rows_of: Callable[[str], Array]) -> Array:
    """The token rows of a reply as N_NAME rows: what is too long is averaged at its end, what is short gets
    line ends.
    """
    rows = rows_of(" " + reply[0].lower() + reply[1:])
    if len(rows) > N_NAME:
        rows = np.concatenate([rows[: N_NAME - 1], rows[N_NAME - 1 :].mean(0, keepdims=True)])
    return np.concatenate([rows, np.repeat(rows_of("\n")[:1], N_NAME - len(rows), axis=0)])


def first_values(clips: sound_units.Pooled, rows_of: Callable[[str], Array], seed: int) -> dict[str, Array]:
    """Steps 1 and 2: every tensor of the connector."""
    shift, scale = clips.x.mean(0), 1 / (clips.x.std(0) + 1e-3)
    x = (clips.x - shift) * scale
    weights, bias = sound_units.solve(x, clips.y, len(clips.names))
    rng = np.random.default_rng(seed)
    begin, air, end = rows_of(BEGIN), rows_of(AIR), rows_of(END)
    names = np.stack([name_rows(replies(name)[0], rows_of).reshape(-1) for name in clips.names])
    return {
        "shift": shift,
        "scale": scale,
        "weights": weights,
        "bias": bias,
        "sharpness": np.array([SHARPER * sound_units.sharpness_for(clips, x)], np.float32),
        "names": names,
        "frame": np.concatenate([begin[:N_BEGIN], air[:1], air[:1], end[:1]]),
        "squeeze": principal(x, RANK, rng),
        "expand": (rng.standard_normal((RANK, 2 * names.shape[1] // N_NAME)) * AIR_RMS * RANK**-0.5).astype(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--clips", "--backbone", "--encoder", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument(
        "--questions", type=Path, help="questions (models.recipes.magpie) that the rows must leave alone"
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop step 3 after so long; --resume goes on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    clips = sound_units.load_clips(args.clips, args.seed)
    with LlamaBackbone(args.backbone, n_ctx=64, n_threads=1) as backbone:
        start = first_values(clips, lambda text: np.array(backbone.token_rows(backbone.tokenize(text))), args.seed)
    connector = AmbienceConnector(start)
    if args.steps:
        # Step 3 alone needs transformers, which takes long to import.
        from models.recipes import sound_align  # noqa: PLC0415

        checkpoint = args.clips / "ambience.pt"
        if args.resume and checkpoint.is_file():
            connector.load_state_dict(torch.load(checkpoint, weights_only=True)["connector"])
        sound_align.train(
            connector,
            clips,
            gguf=args.backbone,
            questions=args.questions,
            checkpoint=checkpoint,
            steps=args.steps,
            minutes=args.minutes,
        )
    sha256 = hashlib.sha256(args.backbone.read_bytes()).hexdigest()
    export(connector, args.out, space=space_of("whisper-tiny-en", args.encoder), backbone=sha256)
    print(args.out, N_ROWS, len(clips.names), "units", len(clips.y), "pooled clips")


if __name__ == "__main__":
    main()
