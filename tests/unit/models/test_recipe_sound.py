"""The recipe of the sound connector: the exported file computes what was trained; the units find what is there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from glasses.connectors.pooled import PooledConnector  # noqa: E402
from glasses.types import Latents  # noqa: E402
from models.recipes import sound_units  # noqa: E402
from models.recipes.sound_examples import Source, reply_to  # noqa: E402
from models.recipes.sound_model import D_LATENT, N_AIR, N_EMBD, N_NAME, RANK, SoundConnector, export  # noqa: E402
from models.recipes.sound_units import Modality, Pooled, pool  # noqa: E402

pytestmark = pytest.mark.train
NAMES = ["dog", "noise", "woman whispered"]


def pooled(latents: dict[str, np.ndarray], modality: Modality) -> np.ndarray:
    own = pool(latents[modality], modality)
    return np.concatenate([own, pool(latents["audio"], "audio")]) if modality == "sound" else own


def latents_of(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {one: rng.standard_normal((9, D_LATENT[one])).astype(np.float32) for one in get_args(Modality)}


def connector(modality: Modality) -> SoundConnector:
    rng = np.random.default_rng(0)
    d, rank, n = len(pooled(latents_of(0), modality)), RANK[modality], len(NAMES)
    shapes = {
        "shift": (d,),
        "weights": (d, n),
        "bias": (n,),
        "names": (n, N_NAME * N_EMBD),
        "frame": (6, N_EMBD),
        "squeeze": (len(pool(latents_of(0)[modality], modality)), rank),
        "expand": (rank, N_AIR * N_EMBD),
    }
    start = {name: 0.05 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return SoundConnector({**start, "scale": np.ones(d, np.float32), "sharpness": np.ones(1, np.float32)})


@pytest.mark.parametrize("modality", get_args(Modality))
def test_recipe_sound_exported_file_gives_the_rows_of_the_trained_one(tmp_path: Path, modality: Modality) -> None:
    model, path = connector(modality), tmp_path / "connector.onnx"
    export(model, path, modality, {"space": "s:0", **({"beside_space": "a:0"} if modality == "sound" else {})})
    latents = latents_of(1)
    own, beside = Latents(0, 0, modality, latents[modality], "s:0"), Latents(0, 0, "audio", latents["audio"], "a:0")
    runtime = PooledConnector(path)
    with torch.inference_mode():
        trained = model(torch.from_numpy(pooled(latents, modality))[None])[0].numpy()
    rows = runtime.apply(own, beside)
    assert np.abs(rows - trained).max() < 0.05 * np.abs(trained).max()  # int8 tables
    assert len(runtime.apply_beside_words(own)) == (2 if modality == "audio" else 10)
    assert np.array_equal(runtime.apply(own), rows) == (modality == "audio")


def test_recipe_sound_two_latents_of_a_clip_are_cut_at_the_same_moments(tmp_path: Path) -> None:
    moments = np.arange(240, dtype=np.float32)  # 4.8 s
    patches = np.stack([moments[24 * i : 24 * i + 48].mean() for i in range(9)])
    np.savez(
        tmp_path / "dog@one.npz",
        rows=np.ones((240, 1), np.int8),
        scales=np.repeat(moments[:, None], 1, 1),
        lengths=[240],
        sounds=patches[:, None],
        sound_lengths=[9],
    )
    for own, mean, _deviation, _peak in sound_units.load_clips(tmp_path, "sound").x:
        assert abs(own - mean) <= 1  # Whisper's window may end 24 latents after the last whole patch


def test_recipe_sound_units_name_clips_of_unseen_packages() -> None:
    rng = np.random.default_rng(0)
    n = 9600  # the ridge's strength is meant for about as many
    y, fold = np.arange(n) % 3, np.arange(n) // 3 % sound_units.FOLDS
    x = (rng.standard_normal((n, 20)) + 1.5 * np.eye(3, 20)[y]).astype(np.float32)
    fit, ask = fold > 0, fold == 0
    weights, bias = sound_units.solve(x[fit], y[fit], 3, sound_units.RIDGE["audio"])
    scores = x[ask] @ weights + bias
    assert np.mean(scores.argmax(1) == y[ask]) > 0.6
    sharpness = sound_units.sharpness_for(Pooled("audio", x, y, fold, NAMES), x)
    best = sound_units.log_loss(scores, y[ask], sharpness)
    assert best < sound_units.log_loss(scores, y[ask], sharpness / 2)
    assert best < sound_units.log_loss(scores, y[ask], sharpness * 2)


def test_recipe_sound_examples_depend_on_the_step_and_ask_for_the_name() -> None:
    model = connector("sound")
    clips = Pooled(
        "sound",
        np.zeros((3, len(pooled(latents_of(0), "sound"))), np.float32),
        np.arange(3),
        np.zeros(3, np.int64),
        NAMES,
    )
    first, again = (Source(model, clips).batch(5, 8) for _ in range(2))
    assert [(e.after, e.reply) for e in first] == [(e.after, e.reply) for e in again]
    assert all(torch.isclose(e.units.sum(), torch.tensor(1.0), atol=1e-4) for e in first)
    assert {e.reply for e in first} <= {reply_to(name) + "<|im_end|>" for name in NAMES}
