"""POST /v1/responses in its basic form: text, pictures and sounds in, text and calls of functions out.

Nothing is stored: every request brings the whole conversation.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, Response

from glasses.backbone import call_grammar
from glasses.backbone.call_grammar import Call
from glasses.service.protocol.generation_params import CallAnswer
from glasses.service.server.openai import forms, sampling_fields
from glasses.service.server.openai.answering import Answering, Choice
from glasses.service.server.openai.asked import Asked, Turn
from glasses.service.server.openai.chat import call_id
from glasses.service.server.openai.fields import RESPONSES
from glasses.service.server.openai.reading import checked, shown, take, typed
from glasses.service.server.openai.responding import data, noted, streamed
from glasses.service.server.openai.turns import merged, parts_of, result_turn, turn_of
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service

MAX_ITEMS = 512
_MESSAGE_FIELDS = {"type", "role", "content", "id", "status", "phase"}


def read(values: dict[str, Any], service: Service) -> Asked:
    """What a request asks for. Raises FieldError."""
    values = checked(values, RESPONSES)
    backbone = service.host.loaded.backbone
    form = _form(values)
    default = sampling_fields.DEFAULT_FORM_TOKENS if form else sampling_fields.DEFAULT_TOKENS
    limit = sampling_fields.limit_of(values, "max_output_tokens", default=default)
    asked = Asked(
        turns=_turns(values),
        sampling={**sampling_fields.sampling_of(values, backbone.n_vocab), "max_tokens": limit},
        form=form,
        stream=sampling_fields.stream_of(values),
        given_back={name: values[name] for name in ("metadata", "instructions", "tools") if name in values},
    )
    sampling_fields.include_usage_of(values)
    forms.checked(form, backbone.vocabulary, "tools" if isinstance(form, CallAnswer) else "text.format")
    return asked


def _form(values: dict[str, Any]) -> Any:
    functions = forms.functions_of(take(values, "tools", list, []))
    parallel = take(values, "parallel_tool_calls", bool, True)
    calls = forms.call_form(functions, values.get("tool_choice"), parallel=parallel)
    text = take(values, "text", dict, {})
    if text.get("verbosity") not in (None, "medium"):
        raise FieldError("text.verbosity", "not supported, say in words how long the answer should be")
    form = forms.json_form(text["format"], "text.format") if text.get("format") is not None else None
    if calls and form and not calls.required:
        raise FieldError("text.format", "together with tools: set tool_choice to none for JSON, or to required")
    return calls or form


def _turns(values: dict[str, Any]) -> tuple[Turn, ...]:
    given = values.get("input")
    turns: list[tuple[Turn, bool]] = []
    if instructions := take(values, "instructions", str, ""):
        turns.append((Turn("system", (instructions,)), False))
    if isinstance(given, str):
        turns.append((Turn("user", (given,)), False))
        return tuple(turn for turn, _ in turns)
    items = typed(given, list, "input")
    if not 1 <= len(items) <= MAX_ITEMS:
        raise FieldError("input", f"from 1 to {MAX_ITEMS} items, not {len(items)}")
    for i, item in enumerate(items):
        turns += _item(item, f"input[{i}]")
    if len(turns) > 1 and turns[0][0].role == turns[1][0].role == "system":
        (first, _), (second, _), *others = turns
        turns = [(Turn("system", (*first.parts, "\n\n", *second.parts)), False), *others]
    return merged(turns)


def _item(item: Any, where: str) -> list[tuple[Turn, bool]]:
    """One item of the input as turns: none for what is only noted."""
    values = typed(item, dict, where)
    match values.get("type", "message"):
        case "message":
            if unknown := next((name for name in values if name not in _MESSAGE_FIELDS), None):
                raise FieldError(f"{where}.{unknown}"[:200], "there is no such field", code="unknown_parameter")
            return [turn_of({name: values.get(name) for name in ("role", "content")}, where)]
        case "function_call":
            call = Call(take(values, "name", str, "", where), take(values, "arguments", str, "{}", where) or "{}")
            return [(Turn("assistant", (call_grammar.written([call]),)), False)]
        case "function_call_output":
            return [(result_turn(parts_of(values.get("output"), f"{where}.output"), f"{where}.output"), True)]
        case "reasoning":
            return []
        case other:
            taken = "message, function_call, function_call_output, reasoning"
            raise FieldError(f"{where}.type", f"{shown(other)} is not supported; supported are {taken}")


async def answer(work: Answering) -> Response:
    """Answers a request. Raises GlassesError before anything was sent."""
    about = _about(work)
    if work.asked.stream:
        return await streamed(_events(work, about))
    choice = Choice(0)
    text = "".join([piece.text async for piece in work.pieces(choice)])
    return JSONResponse(_ended(about, work, choice, _output(text, choice, work.is_refused)))


def _about(work: Answering) -> dict[str, Any]:
    asked = work.asked
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": int(time.time()),
        "model": work.service.host.loaded.bundle.name,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "parallel_tool_calls": isinstance(asked.form, CallAnswer) and asked.form.parallel,
        "tool_choice": "auto",
        "tools": [],
        "temperature": asked.sampling["temperature"],
        "top_p": asked.sampling["top_p"],
        "max_output_tokens": asked.sampling["max_tokens"],
        "store": False,
        **asked.given_back,
    }


def _output(text: str, choice: Choice, is_refused: bool) -> list[dict[str, Any]]:
    items = []
    if text.strip() or not choice.calls:
        items.append(_message(call_id("msg"), _part(text, is_refused)))
    return items + [_call(one) for one in choice.calls]


def _part(text: str, is_refused: bool) -> dict[str, Any]:
    if is_refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(item_id: str, *parts: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": list(parts)}


def _call(call: Call) -> dict[str, Any]:
    ids = {"id": call_id("fc"), "call_id": call_id()}
    return {**ids, "type": "function_call", "name": call.name, "arguments": call.arguments, "status": "completed"}


def _ended(about: dict[str, Any], work: Answering, choice: Choice, output: list[dict[str, Any]]) -> dict[str, Any]:
    n, m = work.n_prompt, choice.n_tokens
    cut = choice.finish == "length"
    return {
        **about,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": output,
        "usage": {
            "input_tokens": n,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": m,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": n + m,
        },
        **noted(work.notes),
    }


async def _events(work: Answering, about: dict[str, Any]) -> AsyncIterator[str]:
    """The events of a stream, numbered; the first one comes with the first token."""
    numbers = iter(range(1 << 30))

    def event(kind: str, **fields: Any) -> str:
        return data({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    choice, whole, at = Choice(0), "", {"item_id": call_id("msg"), "output_index": 0, "content_index": 0}
    written = "refusal" if work.is_refused else "output_text"
    more = {} if work.is_refused else {"logprobs": []}
    began = False
    async for piece in work.pieces(choice):
        if not began:
            began = True
            yield event("response.created", response=about)
            yield event("response.in_progress", response=about)
        if piece.text and not whole:
            item = _message(at["item_id"], status="in_progress")
            yield event("response.output_item.added", output_index=0, item=item)
            yield event("response.content_part.added", **at, part=_part("", work.is_refused))
        if piece.text:
            whole += piece.text
            yield event(f"response.{written}.delta", **at, delta=piece.text, **more)
    output = _output(whole, choice, work.is_refused)
    if whole:
        output = [
            _message(at["item_id"], _part(whole, work.is_refused)),
            *(one for one in output if one["type"] == "function_call"),
        ]
        yield event(f"response.{written}.done", **at, **{"refusal" if work.is_refused else "text": whole}, **more)
        yield event("response.content_part.done", **at, part=output[0]["content"][0])
        yield event("response.output_item.done", output_index=0, item=output[0])
    for index, item in enumerate(output):
        if item["type"] == "function_call":
            place = {"item_id": item["id"], "output_index": index}
            added = {**item, "arguments": "", "status": "in_progress"}
            yield event("response.output_item.added", output_index=index, item=added)
            yield event("response.function_call_arguments.delta", **place, delta=item["arguments"])
            yield event(
                "response.function_call_arguments.done", **place, arguments=item["arguments"], name=item["name"]
            )
            yield event("response.output_item.done", output_index=index, item=item)
    ended = _ended(about, work, choice, output)
    yield event(f"response.{ended['status']}", response=ended)
