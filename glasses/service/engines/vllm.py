"""The backend vLLM: a gateway from the Latent API to the prompt embeddings of a vLLM server (`--enable-prompt-embeds`).

The gateway holds the bundle's encoders, connectors and token rows; vLLM holds the same backbone, on any number of GPUs
and machines. The rows of a context are kept here and sent whole when an answer is asked for, so prefill does not
overlap speech. vLLM unpickles what it is sent (a torch file), so only the gateway may be able to reach it.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import struct
import zipfile
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import numpy as np

from glasses.backbone.inputs import ModelInput, check
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, ModelError, Reason, RemoteError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.engine import Ability, Context, Output, StreamedToken
from glasses.service.protocol.messages import GenerationParams
from glasses.types import Float32Array

CONNECT_S, SILENT_S = 5.0, 120.0  # the first token waits for the whole prefill, and for other requests
_SOCKS = (
    "a proxy variable, such as $ALL_PROXY, names a SOCKS proxy, which needs: pip install 'httpx[socks]'; "
    "or put the server's name in $NO_PROXY"
)


class VllmEngine:
    """Answers come from `stream`; `feed` gives no logits and no hidden states, for these stay in vLLM."""

    can: tuple[Ability, ...] = ("latent",)

    def __init__(self, loaded: LoadedBundle, url: str, *, api_key: str | None = None) -> None:
        """Asks the server which model it has. Raises RemoteError: NO_NETWORK, REFUSED."""
        self.loaded, self._url = loaded, url.rstrip("/")
        self._by_proxy = not _is_loopback(url)
        self._backbone = loaded.backbone
        self._sizes = {"n_vocab": self._backbone.n_vocab, "n_embd": self._backbone.n_embd}
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = self._ask_model()
        self.chat = Context()
        prefix = self._backbone.prompt_format.prefix(SYSTEM)
        self.feed(self.chat, [self._backbone.tokenize(prefix)], hidden=False)

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        """See `Engine.feed`; the output has no logits."""
        rows = [self._rows(item, f"part {i}") for i, item in enumerate(inputs)]
        n_rows = sum(map(len, rows))
        if not n_rows:
            raise ModelError(Reason.BAD_INPUT, "nothing to feed: no part has a token or a latent")
        n_ctx = self._backbone.n_ctx
        if context.n_past + n_rows > n_ctx:
            raise ModelError(
                Reason.CONTEXT_FULL, f"{n_rows} more rows do not fit: {context.n_past} of {n_ctx} are taken"
            )
        context.state = (*(context.state or ()), *rows)  # a new tuple, because contexts share the old one
        context.n_past += n_rows
        return Output(np.zeros(0, np.float32), None)

    def slices(self, inputs: Sequence[ModelInput]) -> list[list[ModelInput]]:
        """See `Engine.slices`; rows are only kept here."""
        return [list(inputs)]

    async def stream(self, context: Context, params: GenerationParams) -> AsyncGenerator[StreamedToken, None]:
        """See `StreamsTokens.stream`. Raises RemoteError: NO_NETWORK, UNSUPPORTED; InputError(BAD_INPUT) if vLLM
        refuses.
        """
        if params.form is not None:
            raise RemoteError(Reason.UNSUPPORTED, "answers by grammar (JSON, calls) are not made by the backend vllm")
        rows = np.concatenate(context.state or [np.zeros((0, self._sizes["n_embd"]), np.float32)])
        asked = {
            "model": self._model,
            "prompt_embeds": base64.b64encode(torch_file(rows)).decode(),
            "max_tokens": min(params.max_tokens, self._backbone.n_ctx - len(rows)),
            "temperature": params.temperature,
            "top_p": params.top_p,
            "repetition_penalty": params.repetition_penalty,
            "presence_penalty": params.presence_penalty,
            "frequency_penalty": params.frequency_penalty,
            "logit_bias": {str(token): bias for token, bias in params.logit_bias.items()} or None,
            "seed": params.seed,
            "logprobs": max(1, params.top_k),
            "stop_token_ids": sorted(self._backbone.eos),
            "return_tokens_as_token_ids": True,
            "stream": True,
        }
        timeout = httpx.Timeout(SILENT_S, connect=CONNECT_S)
        try:
            async with (
                httpx.AsyncClient(headers=self._headers, timeout=timeout, trust_env=self._by_proxy) as http,
                http.stream("POST", f"{self._url}/v1/completions", json=asked) as answer,
            ):
                if answer.status_code != 200:
                    raise InputError(
                        Reason.BAD_INPUT, f"vLLM refuses: {(await answer.aread())[:500].decode(errors='replace')}"
                    )
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        for token in _tokens(json.loads(line[6:]), params.top_k):
                            yield token
        except httpx.HTTPError as error:
            raise RemoteError(Reason.NO_NETWORK, f"vLLM at {self._url} is gone: {error!r}") from error

    def truncate(self, context: Context, n_past: int) -> None:
        """See `Engine.truncate`."""
        if not 0 <= n_past <= context.n_past:
            raise ModelError(Reason.BAD_INPUT, f"cannot roll back to {n_past}: the context has {context.n_past} rows")
        rows = np.concatenate(context.state)[:n_past] if context.n_past else None
        context.state, context.n_past = (rows,) if n_past else (), n_past

    def copy(self, context: Context) -> Context:
        """See `Engine.copy`."""
        return Context(context.n_past, context.state)

    def abort(self) -> None:
        """Does nothing: an answer in vLLM ends with its connection."""

    def clear_abort(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """See `Engine.close`."""
        self.loaded.close()

    def _rows(self, item: ModelInput, where: str) -> Float32Array:
        rows = check(item, where, **self._sizes)
        return (
            rows
            if rows.ndim == 2
            else np.array(self._backbone.token_rows(rows.tolist())).reshape(-1, self._sizes["n_embd"])
        )

    def _ask_model(self) -> str:
        try:
            answer = httpx.get(
                f"{self._url}/v1/models", headers=self._headers, timeout=CONNECT_S, trust_env=self._by_proxy
            )
            if answer.status_code in (401, 403):
                raise RemoteError(Reason.REFUSED, f"{self._url} answers {answer.status_code}: check VLLM_API_KEY")
            return str(answer.raise_for_status().json()["data"][0]["id"])
        except ImportError as error:
            raise RemoteError(Reason.NOT_INSTALLED, f"{self._url}: {_SOCKS}") from error
        except (httpx.HTTPError, httpx.InvalidURL, KeyError, IndexError, ValueError) as error:
            raise RemoteError(Reason.NO_NETWORK, f"no vLLM server at {self._url}: {error}") from error


def _is_loopback(url: str) -> bool:
    """Whether `url` stays on this machine, so that no proxy of the environment has anything to do with it."""
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):  # a name
        return False


def _tokens(chunk: dict[str, Any], top_k: int) -> list[StreamedToken]:
    """The tokens of one event: vLLM may send several in one, and the reason of the end with the last of them."""
    out: list[StreamedToken] = []
    for choice in chunk.get("choices", []):
        logprobs = choice.get("logprobs") or {"tokens": [], "token_logprobs": [], "top_logprobs": []}
        end = {"stop": "eos", "length": "length", None: None}.get(choice.get("finish_reason"), "failed")
        n = len(logprobs["tokens"])
        for i, (token, logprob) in enumerate(zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)):
            best = sorted(((_id(t), p) for t, p in logprobs["top_logprobs"][i].items()), key=lambda pair: -pair[1])
            text = choice["text"] if i == n - 1 else ""
            out.append(StreamedToken(_id(token), text, logprob, best[:top_k], end if i == n - 1 else None))
        if not n and end:
            out.append(StreamedToken(0, choice["text"], 0.0, [], end))
    return out


def _id(token: str) -> int:
    """The id in "token_id:17", the form of return_tokens_as_token_ids."""
    return int(token.rpartition(":")[2])


def torch_file(rows: Float32Array) -> bytes:
    """The bytes that `torch.save(torch.from_numpy(rows))` writes, made without torch: a zip of one float32 tensor (n,
    d).

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
