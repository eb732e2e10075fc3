"""Trains the sound connector of the pocket backbone and writes it as ONNX.

    python -m models.recipes.sound_connector --clips DIR --backbone B.gguf \\
        --encoder models/artifacts/yamnet-int8.onnx --beside models/artifacts/whisper-tiny-en-encoder-int8.onnx \\
        --out models/artifacts/sound-connector-pocket.onnx

With `--modality audio --steps 0` it makes the ambience connector of Whisper's latents, whose air goes beside words.

1. The clips of sound_clips (encoder latents) are pooled and the units that name them are solved (sound_units).
2. Every unit's rows start as the backbone's own token rows of its words, inside a frame of token rows, so that the
   untouched backbone reads them already. The air rows start as the principal directions of the pooled clips.
3. With --steps N the rows learn, through the frozen backbone dequantised from the GGUF that will run, to be answered
   with the name (sound_align). --steps 0 stops after 2 and needs no pass through it.

Seeded; `DIR/sound.pt` is the checkpoint of step 3 and `--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.backbone.llama import LlamaBackbone
from glasses.model_store.onnx import space_of
from models.recipes import sound_units
from models.recipes.sound_classes import reply_to
from models.recipes.sound_model import N_BEGIN, N_NAME, N_ROWS, RANK, SoundConnector, export

BEGIN, AIR, END = "The sound of", "\n", "\n"
SHARPER = 6.0  # than calibrated: token rows of many distant names average to words that mean something else
AIR_RMS = 0.03  # beside token rows of 0.136: there to be read, too little to be mistaken for words
ENCODERS = {"audio": "whisper-tiny-en", "sound": "yamnet"}
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
    weights, bias = sound_units.fit(clips.modality, x, clips.y, len(clips.names))
    own = x[:, : sound_units.D_SOUND] if clips.modality == "sound" else x
    rank = RANK[clips.modality]
    rng = np.random.default_rng(seed)
    begin, air, end = rows_of(BEGIN), rows_of(AIR), rows_of(END)
    names = np.stack([name_rows(reply_to(name), rows_of).reshape(-1) for name in clips.names])
    return {
        "shift": shift,
        "scale": scale,
        "weights": weights,
        "bias": bias,
        "sharpness": np.array([SHARPER * sound_units.sharpness_for(clips, x)], np.float32),
        "names": names,
        "frame": np.concatenate([begin[:N_BEGIN], air[:1], air[:1], end[:1]]),
        "squeeze": principal(own, rank, rng),
        "expand": (rng.standard_normal((rank, 2 * names.shape[1] // N_NAME)) * AIR_RMS * rank**-0.5).astype(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--clips", "--backbone", "--encoder", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--beside", type=Path, help="the audio encoder, whose latents the sound connector reads too")
    parser.add_argument("--modality", choices=("sound", "audio"), default="sound", help="whose latents it reads")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16, help="examples a step of step 3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--through", metavar="URL", help="train through this service's Gradient API (glasses serve)")
    args = parser.parse_args()
    if (args.beside is None) == (args.modality == "sound"):
        parser.error("--beside ENCODER goes with the sound connector, and only with it")
    clips = sound_units.load_clips(args.clips, args.modality, args.seed)
    with LlamaBackbone(args.backbone, n_ctx=64, n_threads=1) as backbone:
        start = first_values(clips, lambda text: np.array(backbone.token_rows(backbone.tokenize(text))), args.seed)
    connector = SoundConnector(start)
    if args.steps:
        # Step 3 alone needs transformers, which takes long to import.
        from models.recipes import sound_align  # noqa: PLC0415

        path = args.clips / "sound.pt"
        if not args.resume:
            path.unlink(missing_ok=True)
        options = {"steps": args.steps, "batch": args.batch, "through": args.through}
        sound_align.train(connector, clips, gguf=args.backbone, path=path, **options)
    sha256 = hashlib.sha256(args.backbone.read_bytes()).hexdigest()
    spaces = {"space": space_of(ENCODERS[args.modality], args.encoder)}
    if args.beside:
        spaces["beside_space"] = space_of(ENCODERS["audio"], args.beside)
    export(connector, args.out, args.modality, {**spaces, "backbone_sha256": sha256})
    print(args.out, N_ROWS, len(clips.names), "units", len(clips.y), "pooled clips")


if __name__ == "__main__":
    main()
