"""Adds to the ImageNet head the classes that only our own pictures show: giraffe, pliers, tree, person.

A softmax regression on pooled features in which the 1,000 rows of ImageNet stay as they are. A picture named by its
kind ("a dog") asks only that the classes of that kind get the probability; a picture without a name keeps what the
ImageNet head said of it, so that the new classes do not take over what they were never shown.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.recipes.image_names import Names

STEPS, BATCH, RATE, DECAY = 800, 512, 2e-3, 0.02
FEATURE_DROP = 0.2  # share of features hidden at each step: a name has few pictures, and one feature must not decide


def masks(names: Names, labels: list[str]) -> NDArray[np.float32]:
    """Returns (n, classes): 1 where the class fits the label, all 0 for pictures without one."""
    fits = np.zeros((len(labels), len(names.names)), np.float32)
    for i, label in enumerate(labels):
        if label:
            fits[i, names.classes(label)] = 1
    return fits


def extend(
    head: NDArray[np.float32], bias: NDArray[np.float32], names: Names, features: NDArray[np.float32], labels: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the head and bias for all of `names`; `features` (n, 1280) are whole-view means of pictures."""
    torch.manual_seed(0)
    n_new = len(names.names) - len(head)
    x = torch.from_numpy(features)
    old = x @ torch.from_numpy(head).T + torch.from_numpy(bias)
    fits = torch.from_numpy(masks(names, labels))
    known = fits.sum(1) > 0
    kept = torch.cat([torch.softmax(old, 1), torch.zeros(len(x), n_new)], 1)
    rows = torch.zeros(n_new, head.shape[1], requires_grad=True)
    offsets = torch.full((n_new,), float(bias.mean()), requires_grad=True)
    optimizer = torch.optim.AdamW([rows, offsets], lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        pick = torch.randint(len(x), (BATCH,))
        logits = torch.cat([old[pick], functional.dropout(x[pick], FEATURE_DROP) @ rows.T + offsets], 1)
        log_p = torch.log_softmax(logits, 1)
        named = -torch.logsumexp(log_p + torch.log(fits[pick].clamp_min(1e-9)), 1)
        unnamed = -(kept[pick] * log_p).sum(1)
        loss = torch.where(known[pick], named, unnamed).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return (
        np.concatenate([head, rows.detach().numpy()]).astype(np.float32),
        np.concatenate([bias, offsets.detach().numpy()]).astype(np.float32),
    )
