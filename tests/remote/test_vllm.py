"""The gateway with a real vLLM server on this CPU, and the pocket backbone cut to three layers in both.

`make test-remote` makes vLLM's virtual environment and names its Python in GLASSES_VLLM_PYTHON.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
VLLM_PYTHON = os.environ.get("GLASSES_VLLM_PYTHON", "")
if not VLLM_PYTHON:
    pytest.skip("GLASSES_VLLM_PYTHON names no Python with vLLM: make test-remote", allow_module_level=True)

from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: E402

from glasses.errors import Reason, RemoteError  # noqa: E402
from glasses.service.client.client import Client  # noqa: E402
from glasses.service.engines.torch.engine import load_model  # noqa: E402
from glasses.service.engines.vllm import VllmEngine  # noqa: E402
from glasses.service.protocol import messages  # noqa: E402
from glasses.service.server.service import Service  # noqa: E402
from glasses.types import Latents, Token  # noqa: E402
from tests.contract.service_fixtures import Served, greedy_torch, served, small_caps, small_parts  # noqa: E402

pytestmark = [pytest.mark.models, pytest.mark.remote]
START_S = 1200  # idle, two cores: under a minute
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
TEXT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def model(gguf_path: Path, folder: Path) -> Any:
    """The small backbone in transformers, float32."""
    parts, gguf = small_parts(gguf_path, folder)
    parts.close()
    return load_model(gguf, dtype=torch.float32)


@pytest.fixture(scope="module")
def vllm(model: Any, folder: Path) -> Iterator[str]:
    """The server's address."""
    checkpoint, log = folder / "checkpoint", folder / "vllm.log"
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights were dequantised
    plain = LlamaForCausalLM(config).to(torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(str(folder), gguf_file="small.gguf").save_pretrained(checkpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        VLLM_PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--host", "127.0.0.1",
        "--port", str(port), "--dtype", "float32", "--max-model-len", "1024", "--max-num-seqs", "4",
        "--enable-prompt-embeds", "--enforce-eager",
    ]  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ENVIRONMENT  # its packages are its own
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=folder)
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    pytest.fail(f"vLLM did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def service(vllm: str, gguf_path: Path, folder: Path) -> Iterator[Served]:
    def open_engine() -> VllmEngine:
        return VllmEngine(small_parts(gguf_path, folder)[0], vllm)

    with served(lambda: Service(open_engine, backend="vllm", caps=small_caps()), folder) as running:
        yield running


async def answer(client: Client, *given: Any, **how: Any) -> list[Token]:
    session = await client.open(chat=False)
    await session.feed(*given)
    pieces = [piece async for piece in session.generate(**how)]
    await session.close()
    return pieces


def test_gateway_answers_as_the_same_network_in_torch(service: Served, model: Any) -> None:
    """From tokens and from rows, through vLLM's prompt embeddings; also in a session continued and rolled back."""

    async def scenario(client: Client) -> tuple[list[Token], list[list[Token]]]:
        expected = await service.service.host.run("test", lambda: greedy_torch(_Engine(service, model), TEXT, 12, 3))
        ids, rows = await client.tokenize(TEXT, special=True)
        got = [await answer(client, given, max_tokens=12, top_k=3) for given in (ids, rows)]
        session = await client.open(chat=False)
        await session.feed(ids)
        first = [piece async for piece in session.generate(max_tokens=5, top_k=3)]
        got.append(first + [piece async for piece in session.generate(max_tokens=7, top_k=3)])
        await session.rollback(len(ids) - 2)
        await session.feed(ids[-2:])
        got.append([piece async for piece in session.generate(max_tokens=12, top_k=3)])
        return expected, got

    expected, got = service.with_client("unix", scenario)
    for pieces in got:
        n = len(pieces)
        assert [p.token_id for p in pieces] == [p.token_id for p in expected[:n]]
        assert np.allclose([p.logprob for p in pieces], [p.logprob for p in expected[:n]], atol=1e-3)
        assert [p.top[0][0] for p in pieces] == [p.top[0][0] for p in expected[:n]]
        assert pieces[-1].last


class _Engine:
    """The fields that `greedy_torch` reads."""

    def __init__(self, service: Served, model: Any) -> None:
        self.loaded, self.model = service.service.host.loaded, model


def test_gateway_picture_goes_through_our_encoder_and_connector(service: Served) -> None:
    space = next(s for s in service.service.describe().spaces if s.startswith("efficientnet"))
    data = np.abs(np.random.default_rng(0).normal(size=(49, 1280))).astype(np.float32)

    async def scenario(client: Client) -> list[Token]:
        session = await client.open()
        await session.feed(Latents(0, 0, "image", data, space))
        return [piece async for piece in session.generate(max_tokens=8)]

    pieces = service.with_client("tls", scenario)
    assert pieces[-1].last
    assert "".join(piece.text for piece in pieces)


def test_gateway_missing_ability_is_declared_and_refused(service: Served) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.describe()).can == ["latent"]
        for call in (
            lambda: client.open(latents=True),
            lambda: client.tokens(messages.ListTokens(0)),
            lambda: client.call(messages.Forward(client.next_rid(), [[messages.Text("x")]])),
        ):
            with pytest.raises(RemoteError) as caught:
                await call()
            assert caught.value.reason is Reason.UNSUPPORTED
        session = await client.open(chat=False)
        with pytest.raises(RemoteError) as caught:
            await session.feed(np.full((2, 576), np.nan, np.float32))  # vLLM itself would answer with nothing
        assert caught.value.reason is Reason.BAD_INPUT

    service.with_client("unix", scenario)


def test_gateway_cancelled_answer_ends_there(service: Served) -> None:
    async def scenario(client: Client) -> list[Token]:
        session = await client.open(chat=False)
        await session.feed("Once upon a time")
        pieces = []
        async for piece in session.generate(max_tokens=800):
            pieces.append(piece)
            if len(pieces) == 3:
                await session.cancel()
        return pieces

    pieces = service.with_client("unix", scenario)
    assert pieces[-1].last
    assert len(pieces) < 800
