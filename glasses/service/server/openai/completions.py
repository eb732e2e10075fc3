"""POST /v1/completions: continues a text as it stands, without a chat format and without a system prompt."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glasses.service.server.client_work import client_for
from glasses.service.server.openai import sampling_fields
from glasses.service.server.openai.answering import Answering, Choice
from glasses.service.server.openai.asked import Asked
from glasses.service.server.openai.chat import usage_of
from glasses.service.server.openai.cutter import Piece
from glasses.service.server.openai.fields import COMPLETIONS
from glasses.service.server.openai.logprobs import Logprobs
from glasses.service.server.openai.reading import checked, shown, take
from glasses.service.server.openai.responding import DONE, data, handled, streamed
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service

MAX_PROMPTS = 8
DEFAULT_TOKENS = 16  # OpenAI's
MAX_LOGPROBS = 5


def read(values: dict[str, Any], service: Service) -> tuple[list[Asked], bool]:
    """What is asked for each prompt, and whether the prompt is to stand before the answer. Raises FieldError."""
    values = checked(values, COMPLETIONS)
    prompts = _prompts(values.get("prompt"))
    top = take(values, "logprobs", int, None)
    if top is not None and not 0 <= top <= MAX_LOGPROBS:
        raise FieldError("logprobs", f"0 to {MAX_LOGPROBS}, not {top}")
    limit = sampling_fields.limit_of(values, "max_tokens", default=DEFAULT_TOKENS)
    sampling = sampling_fields.sampling_of(values, service.host.loaded.backbone.n_vocab)
    asked = Asked(
        sampling={**sampling, "max_tokens": limit, "top_k": top or 0},
        seed=sampling_fields.seed_of(values),
        stop=sampling_fields.stop_of(values),
        n=sampling_fields.choices_of(values),
        stream=sampling_fields.stream_of(values),
        include_usage=sampling_fields.include_usage_of(values),
        logprobs=top is not None,
    )
    return [replace(asked, prompt=one) for one in prompts], take(values, "echo", bool, False)


def endpoint(service: Service) -> Any:
    """The route."""

    async def answer(request: Request, values: dict[str, Any]) -> Response:
        asked, echo = read(values, service)
        client = await client_for(request, service)
        works = [Answering(service, client, one) for one in asked]
        about = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": service.host.loaded.bundle.name,
        }
        if asked[0].stream:
            return await streamed(_chunks(service, works, about, echo))
        choices, n_prompt, n_tokens = [], 0, 0
        async for index, work, choice, pieces in _choices(works):
            got = [piece async for piece in pieces]
            n_tokens += choice.n_tokens
            n_prompt += work.n_prompt if choice.index == 0 else 0
            text = _echoed(service, work, echo) + "".join(piece.text for piece in got)
            choices.append(_choice(index, text, choice.finish, _logprobs(service, work, got)))
        return JSONResponse({**about, "choices": choices, "usage": usage_of(n_prompt, n_tokens)})

    return handled(answer)


async def _choices(works: list[Answering]) -> AsyncIterator[tuple[int, Answering, Choice, AsyncIterator[Piece]]]:
    """Every answer to every prompt, one after the other, with its number."""
    for i, work in enumerate(works):
        await work.begin()
        for j in range(work.asked.n):
            choice = Choice(j)
            yield i * work.asked.n + j, work, choice, work.pieces(choice)
        await work.end()


async def _chunks(service: Service, works: list[Answering], about: dict[str, Any], echo: bool) -> AsyncIterator[str]:
    n_prompt, n_tokens = 0, 0
    async for index, work, choice, pieces in _choices(works):
        n_prompt += work.n_prompt if choice.index == 0 else 0
        if echoed := _echoed(service, work, echo):
            yield data({**about, "choices": [_choice(index, echoed, None, None)]})
        async for piece in pieces:
            if piece.text:
                yield data({**about, "choices": [_choice(index, piece.text, None, _logprobs(service, work, [piece]))]})
        n_tokens += choice.n_tokens
        yield data({**about, "choices": [_choice(index, "", choice.finish, None)]})
    if works[0].asked.include_usage:
        yield data({**about, "choices": [], "usage": usage_of(n_prompt, n_tokens)})
    yield DONE


def _choice(index: int, text: str, finish: str | None, logprobs: Any) -> dict[str, Any]:
    return {"text": text, "index": index, "finish_reason": finish, "logprobs": logprobs}


def _logprobs(service: Service, work: Answering, pieces: list[Piece]) -> dict[str, Any] | None:
    if not work.asked.logprobs:
        return None
    writer = Logprobs(service)
    tokens = [token for piece in pieces for token in piece.tokens]
    texts = [writer.text(token.token_id) for token in tokens]
    starts = [sum(map(len, texts[:i])) for i in range(len(texts))]
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{writer.text(i): logprob for i, logprob in token.top} for token in tokens],
        "text_offset": starts,
    }


def _echoed(service: Service, work: Answering, echo: bool) -> str:
    prompt = work.asked.prompt
    if not echo or prompt is None:
        return ""
    return prompt if isinstance(prompt, str) else service.host.loaded.backbone.detokenize(prompt)


def _prompts(prompt: Any) -> list[str | list[int]]:
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise FieldError("prompt", f"a text, token ids, or a list of them, not {shown(prompt)}", code="invalid_type")
    if all(isinstance(one, int) and not isinstance(one, bool) for one in prompt):
        return [prompt]
    if len(prompt) > MAX_PROMPTS:
        raise FieldError("prompt", f"at most {MAX_PROMPTS} prompts, not {len(prompt)}")
    for i, one in enumerate(prompt):
        is_ids = isinstance(one, list) and all(isinstance(t, int) and not isinstance(t, bool) for t in one)
        if not isinstance(one, str) and not is_ids:
            raise FieldError(f"prompt[{i}]", f"a text or token ids, not {shown(one)}", code="invalid_type")
    return prompt
