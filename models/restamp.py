"""Writes an encoder's new latent space into the artifacts that read it: `python -m models.restamp OLD NEW`.

OLD and NEW are latent spaces (`<encoder id>:<head of its sha256>`, see `glasses.types.Latents`). Use it only if
the new encoder's latents differ from the old one's by rounding: measure the cosine, evaluate the artifacts again and
state both in the cards. Each artifact keeps the space that it was trained on as `trained_on`. Then run
`python -m models.refresh NAME...`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from glasses.data import data_path


def restamp_arrays(path: Path, old: str, new: str) -> bool:
    """Renews the space of a head or an adapter. Returns whether it named `old`."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if str(arrays.get("space")) != old:
        return False
    arrays |= {"trained_on": arrays.get("trained_on", arrays["space"]), "space": np.array(new)}
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    os.replace(part, path)
    return True


def restamp_graph(path: Path, old: str, new: str) -> bool:
    """Renews every space `old` in the metadata of an ONNX file. Returns whether there was one."""
    model = onnx.load(path, load_external_data=False)
    metadata = {one.key: one.value for one in model.metadata_props}
    renewed = {key: new for key, value in metadata.items() if value == old and key != "trained_on"}
    if not renewed:
        return False
    helper.set_model_props(model, {**metadata, **renewed, "trained_on": metadata.get("trained_on", old)})
    part = path.with_suffix(".part")
    part.write_bytes(model.SerializeToString())  # external weights stay in their file
    os.replace(part, path)
    return True


def main(argv: list[str]) -> int:
    """Renews every artifact that names OLD and says which."""
    if len(argv) != 2:
        sys.exit("usage: python -m models.restamp OLD NEW")
    for path in sorted(data_path("models/artifacts").iterdir()):
        renew = {".npz": restamp_arrays, ".onnx": restamp_graph}.get(path.suffix)
        if renew and renew(path, *argv):
            print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
