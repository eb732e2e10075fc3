"""A new sensor, end to end: the backbone answers questions about the motion of an accelerometer and a gyroscope.

    python -m glasses.service.examples.imu --steps 40                    # train in this process, then measure
    python -m glasses.service.examples.imu --address unix:/run/g.sock    # with the backbone of a service

A small network turns two seconds of motion into four rows. It is trained through the Gradient API: the frozen backbone
is asked "What did I just do?" after the rows, and the loss of its answer comes back as gradients at the rows. The
motions of the head are synthetic (formulas below), so the figures show that the path works, and no more.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch
from torch import Tensor, nn

from glasses.backbone.prompt_format import CHATML
from glasses.service.client import GradientClient, SyncClient, WebSocket
from glasses.service.engines.torch.autograd import RemoteLoss
from glasses.service.engines.torch.gradient_api import open_engine
from glasses.service.examples import telling
from glasses.service.server.in_process import InProcess
from glasses.service.server.service import Service
from glasses.types import Float32Array

RATE_HZ, SECONDS, GRAVITY = 50, 2.0, 9.81
ASK = " What did I just do?"
ANSWERS = {
    "nod": "You nodded.", "shake": "You shook your head.", "walk": "You walked.", "run": "You ran.",
    "fall": "You fell.", "still": "You were still.",
}  # fmt: skip
N_ROWS, BATCH = 4, 8


def motion(kind: str, rng: np.random.Generator) -> Float32Array:
    """Float32 (6, 100): acceleration in g along x (right), y (forward), z (up), then rotation in rad/s about them."""
    t = np.arange(int(RATE_HZ * SECONDS)) / RATE_HZ
    accel, gyro = np.zeros((3, len(t))), np.zeros((3, len(t)))
    tilt = np.full(len(t), rng.normal(0, 0.15))  # of the head, forward
    if kind in ("nod", "shake"):
        hz, size, start = rng.uniform(1, 2.5), rng.uniform(0.15, 0.4), rng.uniform(0, 0.5)
        angle = size * np.sin(2 * np.pi * hz * (t - start)) * (t > start) * (t < start + rng.uniform(1, 1.5))
        gyro[0 if kind == "nod" else 2] = np.gradient(angle, 1 / RATE_HZ)
        if kind == "nod":
            tilt = tilt + angle
            accel[1] += 0.1 * np.gradient(gyro[0], 1 / RATE_HZ)  # the sensor is 10 cm from the axis
    elif kind in ("walk", "run"):
        rates_hz, sizes = ((1.6, 2.2), (1.5, 3)) if kind == "walk" else ((2.5, 3.2), (7, 12))
        hz, size = rng.uniform(*rates_hz), rng.uniform(*sizes)
        phase = 2 * np.pi * hz * t + rng.uniform(0, 6.3)
        accel[2] = size * (np.sin(phase) + 0.3 * np.sin(2 * phase))
        accel[0], gyro[0] = 0.3 * size * np.sin(phase / 2), 0.05 * size * np.cos(phase)
        if kind == "run":
            accel[2] = np.maximum(accel[2], -GRAVITY)  # in the air the sensor is weightless
    elif kind == "fall":
        at, lasts = int(rng.uniform(0.3, 0.8) * RATE_HZ), int(rng.uniform(0.3, 0.5) * RATE_HZ)
        accel[2, at : at + lasts] = -GRAVITY
        gyro[0, at : at + lasts] = rng.uniform(2, 4)
        tilt = tilt + np.cumsum(gyro[0]) / RATE_HZ
        hit = np.exp(-np.arange(len(t) - at - lasts) / 2.0)
        accel[2, at + lasts :] += rng.uniform(25, 50) * hit
    felt = accel + GRAVITY * np.stack([np.zeros_like(tilt), np.sin(tilt), np.cos(tilt)])
    noise = rng.normal(0, 0.05, (6, len(t))) + rng.normal(0, 0.03, (6, 1))  # a cheap sensor's noise and bias
    return (np.concatenate([felt / GRAVITY, gyro]) + noise).astype(np.float32)


class Sensor(nn.Module):
    """Motions (B, 6, 100) -> rows (B, 4, n_embd)."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(6, 24, 7, 3), nn.GELU(), nn.Conv1d(24, 48, 5, 2), nn.GELU(), nn.Conv1d(48, 64, 3), nn.GELU()
        )  # fmt: skip
        self.connector = nn.Linear(128, N_ROWS * n_embd)

    def forward(self, motions: Tensor) -> Tensor:
        encoded = self.encoder(motions)
        pooled = torch.cat([encoded.mean(2), encoded.amax(2)], dim=1)
        return self.connector(pooled).view(len(motions), N_ROWS, -1)


def batch(rng: np.random.Generator, size: int) -> tuple[Tensor, list[str]]:
    kinds = rng.choice(list(ANSWERS), size).tolist()
    return torch.from_numpy(np.stack([motion(kind, rng) for kind in kinds])), kinds


def warm_up(sensor: Sensor, client: SyncClient, rng: np.random.Generator) -> None:
    """Pulls the rows towards the token rows of the answers, before the backbone is used."""
    own = [client.tokenize(" " + answer)[1] for answer in ANSWERS.values()]
    rows = {k: torch.from_numpy(np.resize(r, (N_ROWS, r.shape[1]))) for k, r in zip(ANSWERS, own, strict=True)}
    optimizer = torch.optim.Adam(sensor.parameters(), lr=2e-3)
    for _ in range(150):
        motions, kinds = batch(rng, 32)
        loss = (sensor(motions) - torch.stack([rows[k] for k in kinds])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train(sensor: Sensor, client: SyncClient, steps: int, rng: np.random.Generator) -> list[float]:
    """Trains through the frozen backbone; returns the loss of every step."""
    api = RemoteLoss(GradientClient(client))
    suffix, _ = client.tokenize(CHATML.suffix, special=True)  # the format of the backbone of pocket
    end = suffix[:1]
    replies = {kind: client.tokenize(answer)[0] + end for kind, answer in ANSWERS.items()}
    optimizer, losses = torch.optim.Adam(sensor.parameters(), lr=1e-3), []
    for _ in range(steps):
        motions, kinds = batch(rng, BATCH)
        loss = api.cross_entropy([[rows, ASK, suffix] for rows in sensor(motions)], [replies[k] for k in kinds])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {len(losses)}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
        losses.append(loss.item())
    return losses


def measure(sensor: Sensor, client: SyncClient, n: int) -> float:
    """The share of new motions that the backbone names rightly."""
    motions, kinds = batch(np.random.default_rng(10_000), n)
    right = 0
    for rows, kind in zip(sensor(motions).detach().numpy(), kinds, strict=True):
        session = client.open()
        session.feed(rows, ASK)
        right += "".join(p.text for p in session.generate(max_tokens=8)).strip() == ANSWERS[kind]
        session.close()
    return right / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="network address of a service with the backend torch (default: in process)")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--motions", type=int, default=40, help="to measure on")
    args = parser.parse_args()
    torch.manual_seed(0)
    own = lambda: InProcess(Service(open_engine, backend="torch"), owns=True)  # noqa: E731
    with SyncClient((lambda: WebSocket(args.address)) if args.address else own) as client:
        sensor, rng = Sensor(client.describe().n_embd), np.random.default_rng(0)
        warm_up(sensor, client, rng)
        losses = train(sensor, client, args.steps, rng)
        print(json.dumps({"steps": args.steps, "loss": losses[-1], "right": measure(sensor, client, args.motions)}))


if __name__ == "__main__":
    telling.run(main)
