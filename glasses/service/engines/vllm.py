"""vLLM as a backend: the Latent API onto the prompt embeddings of a vLLM server (`--enable-prompt-embeds`).

The gateway holds the bundle's encoders, connectors and token rows; vLLM holds the same backbone, on as many GPUs and
machines as it likes. A context is the rows fed so far: they are kept here and sent whole when an answer is asked for,
so prefill does not overlap speech. Only the gateway speaks to vLLM: what it sends is a torch file, which nobody else's
bytes should ever be. Knows no session.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from glasses.backbone import inputs as fed
from glasses.backbone.inputs import ModelInput
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, ModelError, Reason, RemoteError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.llama import Ability, Context, Output
from glasses.service.protocol.messages import GenerationParams
from glasses.types import Float32Array

CONNECT_S, SILENT_S = 5.0, 120.0  # the first piece waits for the whole prefill, and for others before it


@dataclass(frozen=True, slots=True)
class Streamed:
    """One piece as vLLM made it; `end` as in events.PieceEvent, None before the last."""

    token: int
    text: str
    logprob: float
    top: list[tuple[int, float]]
    end: str | None


class VllmEngine:
    """As `engine.LlamaEngine`, but answers come from `stream`: logits and hidden states stay in vLLM."""

    can: tuple[Ability, ...] = ("latent",)
    gradient: Any = None
    train_rows: Any = None

    def __init__(self, parts: LoadedBundle, url: str, *, api_key: str | None = None) -> None:
        """Asks the server which model it has. Raises RemoteError: NO_NETWORK, REFUSED."""
        self.parts, self._url = parts, url.rstrip("/")
        self._sizes = {"n_vocab": parts.backbone.n_vocab, "n_embd": parts.backbone.n_embd}
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = self._ask_model()
        self.chat = Context()
        self.feed(self.chat, [parts.backbone.tokenize(parts.backbone.prompt_format.prefix(SYSTEM))], hidden=False)

    def feed(self, context: Context, parts: Sequence[ModelInput], *, hidden: bool) -> Output:
        rows = [self._rows(part, f"part {i}") for i, part in enumerate(parts)]
        n_rows = sum(map(len, rows))
        if not n_rows:
            raise ModelError(Reason.BAD_INPUT, "nothing to feed: no part has a token or a latent")
        if context.n_past + n_rows > self.parts.backbone.n_ctx:
            n_ctx = self.parts.backbone.n_ctx
            raise ModelError(
                Reason.CONTEXT_FULL, f"{n_rows} more rows do not fit: {context.n_past} of {n_ctx} are taken"
            )
        context.state = (*(context.state or ()), *rows)  # never changed in place: contexts share it
        context.n_past += n_rows
        return Output(np.zeros(0, np.float32), None)

    async def stream(self, context: Context, how: GenerationParams) -> AsyncIterator[Streamed]:
        """The pieces after the context. Raises RemoteError(NO_NETWORK), InputError(BAD_INPUT) for what vLLM refuses."""
        rows = np.concatenate(context.state or [np.zeros((0, self._sizes["n_embd"]), np.float32)])
        asked = {
            "model": self._model,
            "prompt_embeds": base64.b64encode(torch_file(rows)).decode(),
            "max_tokens": min(how.max_tokens, self.parts.backbone.n_ctx - len(rows)),
            "temperature": how.temperature,
            "top_p": how.top_p,
            "repetition_penalty": how.repetition_penalty,
            "seed": how.seed,
            "logprobs": max(1, how.top_k),
            "stop_token_ids": sorted(self.parts.backbone.eos),
            "return_tokens_as_token_ids": True,
            "stream": True,
        }
        timeout = httpx.Timeout(SILENT_S, connect=CONNECT_S)
        try:
            async with (
                httpx.AsyncClient(headers=self._headers, timeout=timeout) as http,
                http.stream("POST", f"{self._url}/v1/completions", json=asked) as answer,
            ):
                if answer.status_code != 200:
                    raise InputError(
                        Reason.BAD_INPUT, f"vLLM refuses: {(await answer.aread())[:500].decode(errors='replace')}"
                    )
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        for piece in _pieces(json.loads(line[6:]), how.top_k):
                            yield piece
        except httpx.HTTPError as error:
            raise RemoteError(Reason.NO_NETWORK, f"vLLM at {self._url} is gone: {error!r}") from error

    def values(self, context: Context) -> None: ...

    def truncate(self, context: Context, n_past: int) -> None:
        if not 0 <= n_past <= context.n_past:
            raise ModelError(Reason.BAD_INPUT, f"cannot roll back to {n_past}: the context has {context.n_past} rows")
        rows = np.concatenate(context.state)[:n_past] if context.n_past else None
        context.state, context.n_past = (rows,) if n_past else (), n_past

    def copy(self, context: Context) -> Context:
        return Context(context.n_past, context.state)

    def abort(self) -> None:
        """Nothing: what runs in vLLM ends with its connection."""

    def clear_abort(self) -> None: ...

    def close(self) -> None:
        self.parts.close()

    def _rows(self, part: ModelInput, where: str) -> Float32Array:
        rows = fed.check(part, where, **self._sizes)
        return (
            rows
            if rows.ndim == 2
            else np.array(self.parts.backbone.token_rows(rows.tolist())).reshape(-1, self._sizes["n_embd"])
        )

    def _ask_model(self) -> str:
        try:
            answer = httpx.get(f"{self._url}/v1/models", headers=self._headers, timeout=CONNECT_S)
            if answer.status_code in (401, 403):
                raise RemoteError(Reason.REFUSED, f"{self._url} answers {answer.status_code}: check VLLM_API_KEY")
            return str(answer.raise_for_status().json()["data"][0]["id"])
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            raise RemoteError(Reason.NO_NETWORK, f"no vLLM server at {self._url}: {error!r}") from error


def _pieces(chunk: dict[str, Any], top_k: int) -> list[Streamed]:
    """The tokens of one event; vLLM may put several into one, and the reason of the end beside the last of them."""
    out: list[Streamed] = []
    for choice in chunk.get("choices", []):
        told = choice.get("logprobs") or {"tokens": [], "token_logprobs": [], "top_logprobs": []}
        end = {"stop": "eos", "length": "length", None: None}.get(choice.get("finish_reason"), "failed")
        n = len(told["tokens"])
        for i, (token, logprob) in enumerate(zip(told["tokens"], told["token_logprobs"], strict=True)):
            best = sorted(((_id(t), p) for t, p in told["top_logprobs"][i].items()), key=lambda pair: -pair[1])
            text = choice["text"] if i == n - 1 else ""
            out.append(Streamed(_id(token), text, logprob, best[:top_k], end if i == n - 1 else None))
        if not n and end:
            out.append(Streamed(0, choice["text"], 0.0, [], end))
    return out


def _id(token: str) -> int:
    """ "token_id:17", as return_tokens_as_token_ids has it."""
    return int(token.rpartition(":")[2])


def torch_file(rows: Float32Array) -> bytes:
    """What `torch.save(torch.from_numpy(rows))` writes, without torch: a zip of one float32 tensor (n, d).

    Source: torch/serialization.py, the zip format; the pickle holds nothing but the call that rebuilds a tensor.
    """
    n, d = rows.shape

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(n * d) + b"tQ"
    shape, stride = b"(" + number(n) + number(d) + b"t", b"(" + number(d) + number(1) + b"t"
    hooks = b"ccollections\nOrderedDict\n)R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + shape + stride + b"\x89" + hooks + b"tR"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + tensor + b".")
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/data/0", np.ascontiguousarray(rows, "<f4").tobytes())
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()
