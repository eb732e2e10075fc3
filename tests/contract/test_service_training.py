"""A connector trained over the wire is the connector trained in process; steps/s of both are printed, not judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from service_fixtures import Served, served, small_caps, small_torch  # noqa: E402

from glasses.service.examples import buzz  # noqa: E402
from glasses.service.gradient_client import GradientClient  # noqa: E402
from glasses.service.messages import AddToken, Example, RemoveToken  # noqa: E402
from glasses.service.service import Service  # noqa: E402
from glasses.service.sync_client import SyncClient  # noqa: E402
from glasses.service.torch_backend.autograd import RemoteLoss  # noqa: E402
from glasses.service.transport import InProcess, Transport, WebSocket  # noqa: E402

pytestmark = [pytest.mark.models, pytest.mark.train]
STEPS = 10


@pytest.fixture(scope="module")
def service(gguf_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("service")

    with served(lambda: Service(small_torch(gguf_path, folder), backend="torch", caps=small_caps()), folder) as running:
        yield running


def losses_of(client: SyncClient) -> tuple[list[float], float]:
    """A linear connector from three kinds to two rows, trained to be answered with a token each; (losses, steps/s)."""
    torch.manual_seed(0)
    connector, api = torch.nn.Linear(3, 2 * 576), RemoteLoss(GradientClient(client))
    optimizer, kinds, losses = torch.optim.Adam(connector.parameters(), lr=1e-2), torch.eye(3), []
    began = time.monotonic()
    for _ in range(STEPS):
        rows = connector(kinds).view(3, 2, 576) * 0.1
        loss = api.cross_entropy([[r, " What?"] for r in rows], [[414], [28, 2], [9000]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, STEPS / (time.monotonic() - began)


def test_over_the_wire_as_in_process(service: Served, capsys: pytest.CaptureFixture[str]) -> None:
    ways: dict[str, Transport] = {way: service.transport(way) for way in ("unix", "tls")}
    found = {}
    for name, transport in ways.items():
        with SyncClient(lambda transport=transport: transport) as client:
            found[name] = losses_of(client)
    found["in process"] = service_in_process(service)
    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {rate:.2f} steps/s" for name, (_, rate) in found.items()))
    expected, _ = found["in process"]
    assert expected[-1] < expected[0] - 1
    for losses, _ in found.values():
        assert np.allclose(losses, expected, rtol=1e-4)


def test_a_pair_is_trained_and_drives_its_decoder(service: Served) -> None:
    """Five wordings of one pattern by heart: what three layers can show is that rows, end token and router fit."""
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


def service_in_process(service: Served) -> tuple[list[float], float]:
    """The client's loop must be the service's: its calls are made from this thread onto that loop."""

    class OnLoop(SyncClient):
        def __init__(self) -> None:
            super().__init__(lambda: InProcess(service.service))
            self._loop.close()
            self._loop = service.loop

    client = OnLoop()
    client.asynchronous = service.run(client._make().__aenter__())
    try:
        return losses_of(client)
    finally:
        service.run(client.asynchronous.__aexit__())


def test_a_service_started_anew_goes_on_with_the_run(service: Served) -> None:
    """Its memory of steps is gone with it; the next step is just the next step."""
    with SyncClient(lambda: service.transport("unix")) as client:
        gradient = GradientClient(client)
        rows = service.service.models.backbone.token_rows([100, 200])
        first, _ = gradient.cross_entropy([[rows]], [[414]])
        transport = client.asynchronous._transport
        assert isinstance(transport, WebSocket)
        service.loop.call_soon_threadsafe(transport._ws.transport.abort)  # type: ignore[union-attr]
        again, _ = gradient.cross_entropy([[rows]], [[414]])
        assert again == first
        assert gradient.step == 2
