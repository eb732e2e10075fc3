"""POST /v1/chat/completions: text, pictures and sounds in; text, JSON and calls of functions out.

Pictures and sounds go through the bundle's encoders and reach the backbone as latents. No URL is fetched.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, Response

from glasses.backbone.call_grammar import Call
from glasses.service.protocol.generation_params import CallAnswer
from glasses.service.server.openai import forms, sampling_fields
from glasses.service.server.openai.answering import Answering, Choice
from glasses.service.server.openai.asked import Asked
from glasses.service.server.openai.fields import CHAT
from glasses.service.server.openai.logprobs import Logprobs
from glasses.service.server.openai.reading import checked, take, typed
from glasses.service.server.openai.responding import DONE, data, noted, streamed
from glasses.service.server.openai.turns import turns_of
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service

MAX_TOP_LOGPROBS = 20


def read(values: dict[str, Any], service: Service) -> Asked:
    """What a request asks for. Raises FieldError."""
    values = checked(values, CHAT)
    backbone = service.host.loaded.backbone
    if "messages" not in values:
        raise FieldError("messages", "a list of messages is needed", code="missing_required_parameter")
    form = _form(values)
    default = sampling_fields.DEFAULT_FORM_TOKENS if form else sampling_fields.DEFAULT_TOKENS
    limit = sampling_fields.limit_of(values, "max_completion_tokens", "max_tokens", default=default)
    logprobs = take(values, "logprobs", bool, False)
    top = take(values, "top_logprobs", int, 0)
    if not 0 <= top <= MAX_TOP_LOGPROBS:
        raise FieldError("top_logprobs", f"0 to {MAX_TOP_LOGPROBS}, not {top}")
    if top and not logprobs:
        raise FieldError("top_logprobs", "only together with logprobs: true")
    asked = Asked(
        turns=turns_of(typed(values["messages"], list, "messages")),
        sampling={**sampling_fields.sampling_of(values, backbone.n_vocab), "max_tokens": limit, "top_k": top},
        seed=sampling_fields.seed_of(values),
        stop=sampling_fields.stop_of(values),
        n=sampling_fields.choices_of(values),
        form=form,
        logprobs=logprobs,
        old_functions="functions" in values,
        stream=sampling_fields.stream_of(values),
        include_usage=sampling_fields.include_usage_of(values),
    )
    forms.checked(form, backbone.vocabulary, "tools" if isinstance(form, CallAnswer) else "response_format")
    return asked


def _form(values: dict[str, Any]) -> Any:
    """The form of the answer: calls if there are functions, else the response format."""
    if "functions" in values:
        functions = forms.functions_of(take(values, "functions", list, []), "functions")
        choice = values.get("function_call")
        calls = forms.call_form(functions, choice, parallel=False, where="function_call")
    else:
        functions = forms.functions_of(take(values, "tools", list, []))
        parallel = take(values, "parallel_tool_calls", bool, True)
        calls = forms.call_form(functions, values.get("tool_choice"), parallel=parallel)
    text = forms.json_form(values["response_format"], "response_format") if "response_format" in values else None
    if calls and text and not calls.required:
        raise FieldError("response_format", "together with tools: set tool_choice to none for JSON, or to required")
    return calls or text


async def answer(work: Answering) -> Response:
    """Answers a request. Raises GlassesError before anything was sent."""
    asked, service = work.asked, work.service
    about = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": service.host.loaded.bundle.name,
    }
    logprobs = Logprobs(service) if asked.logprobs else None
    if asked.stream:
        return await streamed(_chunks(work, about, logprobs))
    choices, n_tokens = [], 0
    for index in range(asked.n):
        choice = Choice(index)
        pieces = [piece async for piece in work.pieces(choice)]
        n_tokens += choice.n_tokens
        choices.append(
            {
                "index": index,
                "message": _message("".join(piece.text for piece in pieces), choice.calls, work),
                "finish_reason": _reason(choice, asked),
                "logprobs": logprobs and logprobs.content(token for piece in pieces for token in piece.tokens),
            }
        )
    usage = usage_of(work.n_prompt, n_tokens)
    answered = {**about, "object": "chat.completion", "choices": choices, "usage": usage}
    return JSONResponse({**answered, **noted(work.notes)})


def usage_of(n_prompt: int, n_tokens: int) -> dict[str, int]:
    """The `usage` of a request."""
    return {"prompt_tokens": n_prompt, "completion_tokens": n_tokens, "total_tokens": n_prompt + n_tokens}


def call_id(prefix: str = "call") -> str:
    """A new id for a call."""
    return f"{prefix}_{secrets.token_hex(12)}"


def _reason(choice: Choice, asked: Asked) -> str:
    return "function_call" if choice.finish == "tool_calls" and asked.old_functions else choice.finish


def _message(text: str, calls: list[Call], work: Answering) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if work.is_refused:
        message |= {"content": None, "refusal": text}
    if calls:
        message["content"] = text.strip() or None
        message |= _calls(calls, work.asked.old_functions)
    return message


def _calls(calls: list[Call], old_functions: bool) -> dict[str, Any]:
    functions = [{"name": call.name, "arguments": call.arguments} for call in calls]
    if old_functions:
        return {"function_call": functions[0]}
    return {"tool_calls": [{"id": call_id(), "type": "function", "function": one} for one in functions]}


async def _chunks(work: Answering, about: dict[str, Any], logprobs: Logprobs | None) -> AsyncIterator[str]:
    """The events of a stream; the first one comes with the first token."""
    asked, n_tokens = work.asked, 0
    unless = {"usage": None} if asked.include_usage else {}
    kind, notes = "refusal" if work.is_refused else "content", noted(work.notes)

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None, content: Any = None) -> str:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": content}
        is_last = finish is not None and index == asked.n - 1 and not asked.include_usage
        more = {**unless, **(notes if is_last else {})}
        return data({**about, "object": "chat.completion.chunk", "choices": [choice], **more})

    for index in range(asked.n):
        choice, began = Choice(index), False
        async for piece in work.pieces(choice):
            if not began:
                began = True
                yield chunk(index, {"role": "assistant", kind: ""})
            if piece.text:
                yield chunk(index, {kind: piece.text}, None, logprobs and logprobs.content(piece.tokens))
        if choice.calls:
            delta = _calls(choice.calls, asked.old_functions)
            for i, call in enumerate(delta.get("tool_calls", [])):
                call["index"] = i
            yield chunk(index, delta)
        yield chunk(index, {}, _reason(choice, asked))
        n_tokens += choice.n_tokens
    if asked.include_usage:
        usage = usage_of(work.n_prompt, n_tokens)
        yield data({**about, "object": "chat.completion.chunk", "choices": [], "usage": usage, **notes})
    yield DONE
