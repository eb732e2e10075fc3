"""A connector trained over the wire equals one trained in process by the same recipe.

The steps per second of both are printed, not judged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import recipe_fixtures  # noqa: E402
from service_fixtures import Served, served, small_caps, small_llama, small_torch  # noqa: E402

from glasses.backbone.prompt_format import CHATML  # noqa: E402
from glasses.service.client.gradient_client import GradientClient  # noqa: E402
from glasses.service.client.sync_client import SyncClient  # noqa: E402
from glasses.service.client.transport import WebSocket  # noqa: E402
from glasses.service.examples import buzz  # noqa: E402
from glasses.service.protocol.messages import AddToken, Example, RemoveToken  # noqa: E402
from glasses.service.server.service import Service  # noqa: E402
from models.recipes import frozen_backbone, remote_backbone, soft_token_wording, sound_align, tune_adapter  # noqa: E402
from models.recipes.adapter_examples import AdapterExample  # noqa: E402
from models.recipes.sound_classes import UNITS, reply_to  # noqa: E402
from models.recipes.speech_align import Spells  # noqa: E402

pytestmark = [pytest.mark.models, pytest.mark.train]
STEPS = 10


@pytest.fixture(scope="module")
def service(gguf_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("service")

    with served(lambda: Service(small_torch(gguf_path, folder), backend="torch", caps=small_caps()), folder) as running:
        yield running


class Timed(sound_align.Source):
    """Notes when the first step begins: opening the network is no step."""

    began = 0.0

    def batch(self, step: int, size: int) -> list[Any]:
        Timed.began = time.monotonic() if step == 0 else Timed.began
        return super().batch(step, size)


def trained(folder: Path, gguf: Path, through: str | None) -> tuple[list[np.ndarray], float]:
    """Trains the small connector by `sound_align`; returns its parameters and steps/s."""
    model, path = recipe_fixtures.connector(), folder / (through or "here").replace("/", "-")
    sound_align.train(model, recipe_fixtures.clips(), gguf=gguf, path=path, steps=STEPS, batch=8, through=through)
    rate = STEPS / (time.monotonic() - Timed.began)
    return [p.detach().numpy() for p in (model.names, model.frame, model.expand)], rate


@pytest.mark.parametrize("way", ["unix", "tls"])
def test_sound_align_over_the_wire_trains_as_in_process(
    service: Served, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In process means torch's own autograd through transformers, with no service and no message."""
    gguf = service.folder / "small.gguf"
    exact = partial(frozen_backbone.open_backbone, dtype=torch.float32)
    monkeypatch.setattr(remote_backbone, "open_backbone", exact)
    monkeypatch.setattr(sound_align, "Source", Timed)
    monkeypatch.setattr(remote_backbone, "WebSocket", lambda address: service.transport(way))
    here, here_rate = trained(tmp_path, gguf, None)
    there, there_rate = trained(tmp_path, gguf, service.addresses[way])
    losses = [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines()]
    with capsys.disabled():
        print(f"\nin process {here_rate:.2f} steps/s, {way} {there_rate:.2f} steps/s; losses {losses}")
    assert losses[1] == pytest.approx(losses[0], abs=2e-3)
    start = recipe_fixtures.connector()
    for mine, theirs, before in zip(here, there, (start.names, start.frame, start.expand), strict=True):
        moved = np.linalg.norm(mine - before.detach().numpy())
        assert np.linalg.norm(mine - theirs) < 0.02 * moved


class RandomCourse:
    """A course of random class probabilities for pictures or sounds."""

    space = "none:0"

    def __init__(self, sense: str) -> None:
        self.sense = sense
        names = soft_token_wording.image()["names"]
        self.names = names[:40] if sense == "image" else [reply_to(unit) for unit in UNITS]
        self.n_units = len(names if sense == "image" else UNITS)

    def batch(self, step: int, size: int) -> list[AdapterExample]:
        rng = np.random.default_rng((step, len(self.names)))
        found = []
        for _ in range(size):
            units = np.zeros(self.n_units, np.float32)
            units[: len(self.names)] = rng.dirichlet(np.full(len(self.names), 0.03))
            reply = self.names[int(units.argmax())]
            found.append(AdapterExample({self.sense: units}, "", "What is it?" + CHATML.suffix, reply))
        return found

    def held_out(self, n: int) -> list[AdapterExample]:
        return self.batch(-1, n)

    def is_right(self, label: str, answer: str) -> bool:
        return label in answer


def test_tune_adapter_over_the_wire_trains_as_in_process(
    service: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_backbone, "open_backbone", partial(frozen_backbone.open_backbone, dtype=torch.float32))
    monkeypatch.setattr(remote_backbone, "WebSocket", lambda address: service.transport("unix"))
    courses = {sense: RandomCourse(sense) for sense in tune_adapter.WORDINGS}
    ends: list[dict[str, Any]] = []
    for i, through in enumerate((None, None, service.addresses["unix"])):
        torch.manual_seed(0)
        with remote_backbone.open_frozen(service.folder / "small.gguf", through) as backbone:
            models = torch.nn.ModuleDict(tune_adapter.new_adapters(Spells(backbone)))
            if i:
                options = {"steps": 5, "batch": 4, "rate": 1e-3}
                tune_adapter.train(dict(models.items()), backbone, courses, tmp_path / f"{i}.pt", **options)
        ends.append({name: value.detach().numpy().copy() for name, value in models.state_dict().items()})
    start, here, there = ends
    for name, before in start.items():
        moved = np.linalg.norm(here[name] - before)
        assert moved > 0
        assert np.linalg.norm(here[name] - there[name]) < 0.02 * moved


def test_train_tokens_of_a_pair_drives_its_decoder(service: Served) -> None:
    """Five wordings of one pattern by heart: three layers can show that rows, end token and router fit."""
    examples = [Example(f"Buzz {how}.", "<buzz>", " short short") for how in ("twice", "two times", "now", "it", "me")]
    with SyncClient(lambda: service.transport("unix")) as client:
        client.tokens(AddToken(0, "<buzz>", "buzz", end="</buzz>", decoder="haptic"))
        trained = client.train_tokens([*examples, *(Example(text) for text in buzz.OTHER)])
        assert trained.accuracy == 1.0
        assert [token.version for token in trained.tokens] == [3, 3]
        felt = buzz.feel(client, "Buzz twice.")
        assert felt is not None
        assert [pulse.on_ms for pulse in felt] == [80, 80]
        assert [text for text in buzz.OTHER if buzz.feel(client, text)] == []
        client.tokens(RemoveToken(0, "<buzz>"))


def test_engine_values_of_a_prompt_agree_between_backends(service: Served, gguf_path: Path) -> None:
    """Only nearly: llama.cpp quantises what it multiplies and keeps values as float16."""
    found = []
    for engine in (small_torch(gguf_path, service.folder)(), small_llama(gguf_path, service.folder)()):
        context = engine.copy(engine.chat)
        backbone = engine.loaded.backbone
        engine.feed(context, [backbone.tokenize("Bark like a dog."), backbone.tokenize(CHATML.suffix)], hidden=False)
        found.append(engine.values(context))
        engine.close()
    here, there = (values.reshape(3, 2, 192) for values in found)
    for layer in range(3):
        for row in range(2):
            a, b = here[layer, row], there[layer, row]
            assert a @ b > 0.98 * np.linalg.norm(a) * np.linalg.norm(b)


def test_gradient_client_connection_lost_goes_on_with_the_run(service: Served) -> None:
    """A service started anew has forgotten its steps: the next step is just the next step."""
    with SyncClient(lambda: service.transport("unix")) as client:
        gradient = GradientClient(client)
        rows = service.service.host.loaded.backbone.token_rows([100, 200])
        first, _ = gradient.cross_entropy([[rows]], [[414]])
        transport = client.asynchronous._transport
        assert isinstance(transport, WebSocket)
        service.loop.call_soon_threadsafe(transport._ws.transport.abort)  # type: ignore[union-attr]
        again, _ = gradient.cross_entropy([[rows]], [[414]])
        assert again == first
        assert gradient.step == 2
