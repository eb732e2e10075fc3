"""The Gradient API compared with torch's own autograd through the same network, in process and over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from service_fixtures import Served, served, small_caps, small_torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from glasses.backbone.prompt import SYSTEM  # noqa: E402
from glasses.backbone.prompt_format import CHATML  # noqa: E402
from glasses.errors import InputError, ModelError, Reason, RemoteError  # noqa: E402
from glasses.service.client.gradient_client import GradientClient  # noqa: E402
from glasses.service.client.sync_client import SyncClient  # noqa: E402
from glasses.service.engines.engine import Context  # noqa: E402
from glasses.service.engines.torch.autograd import RemoteLoss  # noqa: E402
from glasses.service.engines.torch.engine import CHUNK  # noqa: E402
from glasses.service.protocol import events  # noqa: E402
from glasses.service.server.service import Service  # noqa: E402

pytestmark = [pytest.mark.models, pytest.mark.train]
N_EMBD = 576


@pytest.fixture(scope="module")
def service(gguf_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("service")

    def make() -> Service:
        return Service(small_torch(gguf_path, folder), backend="torch", caps=small_caps())

    with served(make, folder) as running:
        yield running


@pytest.fixture(params=["unix", "tls"])
def client(service: Served, request: pytest.FixtureRequest) -> Iterator[SyncClient]:
    with SyncClient(lambda: service.transport(request.param)) as opened:
        yield opened


def rows_like(service: Served, seed: int, n: int = 5) -> np.ndarray:
    """Rows near real ones: token rows with noise."""
    rng = np.random.default_rng(seed)
    rows = service.service.host.loaded.backbone.token_rows(rng.integers(100, 20_000, n).tolist())
    return (rows + rng.normal(size=rows.shape) * 0.02).astype(np.float32)


def own_loss(service: Served, kind: str, rows: list[torch.Tensor], targets: list[list[int]]) -> torch.Tensor:
    """The loss by plain torch: the whole sequence with the system prompt, no cache, one sequence at a time."""
    model, backbone = service.service.host.engine.model, service.service.host.loaded.backbone  # type: ignore[attr-defined]
    embed = model.get_input_embeddings()

    def ids(text: str) -> torch.Tensor:
        return embed(torch.tensor(backbone.tokenize(text)))

    def logits(parts: list[torch.Tensor], reply: list[int]) -> torch.Tensor:
        sequence = torch.cat([ids(CHATML.prefix(SYSTEM)), *parts, embed(torch.tensor(reply))])
        return model(inputs_embeds=sequence[None]).logits[0, -len(reply) - 1 : -1]

    got = torch.cat([logits([r, ids(" What?")], t) for r, t in zip(rows, targets, strict=True)])
    if kind == "ce":
        return functional.cross_entropy(got, torch.tensor([t for target in targets for t in target]))
    with torch.no_grad():
        taught = torch.cat([logits([ids("a cat"), ids(" What?")], t) for t in targets])
    p = taught.log_softmax(1)
    return (p.exp() * (p - got.log_softmax(1))).sum(1).mean()


def asked(
    service: Served, client: SyncClient, kind: str, rows: list[torch.Tensor], targets: list[list[int]]
) -> torch.Tensor:
    loss = RemoteLoss(GradientClient(client))
    sequences = [[r, " What?"] for r in rows]
    if kind == "ce":
        return loss.cross_entropy(sequences, targets)
    return loss.kl_to_teacher(sequences, targets, [["a cat", " What?"] for _ in rows])


@pytest.mark.parametrize("kind", ["ce", "kl"])
def test_gradient_client_gradients_equal_autograd(service: Served, client: SyncClient, kind: str) -> None:
    start = [torch.from_numpy(rows_like(service, i, 3 + i)) for i in range(3)]
    targets = [[28, 9000, 2], [414], [30, 31]]
    mine, theirs = ([r.clone().requires_grad_() for r in start] for _ in range(2))
    expected = own_loss(service, kind, mine, targets)
    expected.backward()
    got = asked(service, client, kind, theirs, targets)
    got.backward()
    assert got.item() == pytest.approx(expected.item(), rel=1e-4)
    for a, b in zip(mine, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert (a.grad - b.grad).norm() / a.grad.norm() < 1e-3


def test_gradient_client_gradients_predict_what_a_step_does(service: Served, client: SyncClient) -> None:
    """Numeric directional derivatives. float32 differences of the whole network are good to about a percent."""
    gradient = GradientClient(client)
    rows, targets = rows_like(service, 7), [[414, 28, 9000]]
    _, (slope,) = gradient.cross_entropy([[rows]], targets)
    for seed in range(4):
        direction = np.random.default_rng(seed).normal(size=rows.shape).astype(np.float32)
        direction = 0.3 * direction / np.linalg.norm(direction) + slope / np.linalg.norm(slope)
        step = 2e-3
        up, down = (gradient.cross_entropy([[rows + s * step * direction]], targets)[0] for s in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(float((slope * direction).sum()), rel=0.03)


def test_gradient_client_backward_composes_with_a_loss_of_the_caller(service: Served, client: SyncClient) -> None:
    gradient, rows = GradientClient(client), rows_like(service, 3)
    (hidden,) = gradient.forward([[rows, " What?"]])
    wanted = np.zeros((2, N_EMBD), np.float32)
    loss, (fused,) = gradient.mse_on_latents([[rows, " What?"]], [wanted])
    grad_out = np.zeros_like(hidden)
    grad_out[-2:] = 2 * hidden[-2:] / wanted.size
    (composed,) = gradient.backward([[rows, " What?"]], [grad_out])
    assert loss == pytest.approx(float(np.square(hidden[-2:]).mean()), rel=1e-4)
    assert np.linalg.norm(fused - composed) / np.linalg.norm(fused) < 1e-3


@pytest.mark.parametrize(("dtype", "error"), [("f16", 1e-3), ("i8", 2e-2)])
def test_gradient_client_small_wire_dtype_keeps_gradients_close(service: Served, dtype: str, error: float) -> None:
    rows, targets = rows_like(service, 5), [[414, 28]]
    with SyncClient(lambda: service.transport("unix")) as exact:
        _, (expected,) = GradientClient(exact).cross_entropy([[rows]], targets)
    transport = service.transport("unix")
    transport._path = f"/v1/ws?dtype={dtype}"  # type: ignore[attr-defined]
    with SyncClient(lambda: transport) as small:
        _, (got,) = GradientClient(small).cross_entropy([[rows]], targets)
    assert 0 < np.linalg.norm(got - expected) / np.linalg.norm(expected) < error


def test_gradient_client_step_sent_twice_is_done_once(service: Served, client: SyncClient) -> None:
    gradient, rows = GradientClient(client), rows_like(service, 1)
    loss, (first,) = gradient.cross_entropy([[rows]], [[414]])
    gradient.step -= 1
    again, (second,) = gradient.cross_entropy([[rows]], [[414]])
    assert again == loss
    assert np.array_equal(first, second)
    gradient.step -= 1
    with pytest.raises(RemoteError) as caught:
        gradient.cross_entropy([[rows * 2]], [[414]])
    assert caught.value.reason is Reason.REPLAYED
    for _ in range(6):
        gradient.cross_entropy([[rows]], [[414]])
    gradient.step = 0
    with pytest.raises(RemoteError) as caught:
        gradient.cross_entropy([[rows]], [[414]])
    assert caught.value.reason is Reason.REPLAYED


@pytest.mark.parametrize("bad", ["nan", "width", "targets", "empty", "too many"])
def test_gradient_client_bad_step_is_refused_and_may_be_retried(service: Served, client: SyncClient, bad: str) -> None:
    gradient, rows = GradientClient(client), rows_like(service, 1)
    cases: dict[str, tuple[list[list[np.ndarray | list[int]]], list[list[int]]]] = {
        "nan": ([[rows * np.nan]], [[1]]),
        "width": ([[rows[:, 1:]]], [[1]]),
        "targets": ([[rows]], [[1], [2]]),
        "empty": ([[rows]], [[]]),
        "too many": ([[[1] * 2000]] * 9, [[1]] * 9),  # positions, as ids: their rows would not fit into one message
    }
    with pytest.raises(RemoteError) as caught:
        gradient.cross_entropy(*cases[bad])
    assert caught.value.reason is (Reason.TOO_LARGE if bad == "too many" else Reason.BAD_INPUT)
    gradient.step -= 1
    loss, _ = gradient.cross_entropy([[rows]], [[1]])
    assert np.isfinite(loss)


def test_gradient_client_step_over_the_message_cap_is_not_sent(service: Served, client: SyncClient) -> None:
    gradient, rows = GradientClient(client), rows_like(service, 1)
    with pytest.raises(InputError) as caught:
        gradient.cross_entropy([[np.tile(rows, (400, 1))]] * 9, [[1]] * 9)
    assert caught.value.reason is Reason.TOO_LARGE
    gradient.step -= 1
    loss, _ = gradient.cross_entropy([[rows]], [[1]])
    assert np.isfinite(loss)


@pytest.mark.parametrize("before", [[], [100, 200, 300]])
def test_torch_engine_aborted_feed_leaves_nothing(service: Served, before: list[int]) -> None:
    """Aborted after the first of its two chunks, in an empty context and in one that is not."""
    engine = service.service.host.engine
    broken, whole = Context(0, None), Context(0, None)
    if before:
        engine.feed(broken, [before], hidden=False)
    hook = engine.model.model.register_forward_hook(lambda *_: engine.abort())  # type: ignore[attr-defined]
    with pytest.raises(ModelError) as caught:
        engine.feed(broken, [[500] * (CHUNK + 1)], hidden=False)
    hook.remove()
    engine.clear_abort()
    assert caught.value.reason is Reason.ABORTED
    assert broken.n_past == len(before)
    after = engine.feed(broken, [[414, 28]], hidden=False)
    expected = engine.feed(whole, [[*before, 414, 28]], hidden=False)
    assert np.allclose(after.logits, expected.logits, atol=1e-3)


def test_torch_engine_sessions_branch_and_roll_back(service: Served, client: SyncClient) -> None:
    assert events.schema_id() == client.describe().schema_id
    assert "gradient" in client.describe().can
    whole, parts = client.open(chat=False), client.open(chat=False)
    whole.feed("What is the capital of France?")
    expected = [p.token_id for p in whole.generate(max_tokens=8, latents=False)]
    start = parts.feed("What is the")
    parts.feed(" sound of Italy?")
    assert parts.rollback(start) == start
    other = parts.branch()
    parts.feed(" colour")
    other.feed(" capital of France?")
    assert [p.token_id for p in other.generate(max_tokens=8)] == expected
    for session in (whole, parts, other):
        session.close()
