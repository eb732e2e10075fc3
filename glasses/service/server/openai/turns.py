"""The messages of a chat request as turns of a conversation."""

from __future__ import annotations

from typing import Any, Literal

from glasses.backbone import call_grammar
from glasses.backbone.prompt_format import Role
from glasses.service.server.openai.asked import Media, Turn
from glasses.service.server.openai.base64_data import data_of
from glasses.service.server.openai.fields import MESSAGE
from glasses.service.server.openai.reading import checked, shown, take, typed
from glasses.service.server.problems import FieldError

MAX_MESSAGES = 512
MAX_PARTS = 64  # of one message
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}


def turns_of(messages: list[Any], where: str = "messages") -> tuple[Turn, ...]:
    """Raises FieldError, which names the message and the part."""
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise FieldError(where, f"from 1 to {MAX_MESSAGES} messages, not {len(messages)}")
    return merged([turn_of(one, f"{where}[{i}]") for i, one in enumerate(messages)])


def merged(turns: list[tuple[Turn, bool]]) -> tuple[Turn, ...]:
    """Turns of which a second one in a row that is a function's result is put behind the first, as templates want."""
    out: list[Turn] = []
    last_is_result = False
    for turn, is_result in turns:
        if is_result and last_is_result:
            out[-1] = Turn("user", (*out[-1].parts, "\n", *turn.parts))
        else:
            out.append(turn)
        last_is_result = is_result
    return tuple(out)


def turn_of(message: Any, where: str) -> tuple[Turn, bool]:
    """One message, and whether it is a function's result."""
    if not isinstance(message, dict):
        raise FieldError(where, f"a message is an object, not {shown(message)}", code="invalid_type")
    values = checked(message, MESSAGE, where)
    role = take(values, "role", str, "", where)
    if role not in _ROLES:
        raise FieldError(f"{where}.role", f"one of {', '.join(_ROLES)}, not {shown(role)}")
    parts = parts_of(values.get("content"), f"{where}.content")
    if role in ("tool", "function"):
        return result_turn(parts, f"{where}.content"), True
    if refusal := take(values, "refusal", str, "", where):
        parts.append(refusal)
    calls = [
        _call(one, f"{where}.tool_calls[{i}]") for i, one in enumerate(take(values, "tool_calls", list, [], where))
    ]
    if "function_call" in values:
        calls.append(_function(values["function_call"], f"{where}.function_call"))
    if calls and role != "assistant":
        raise FieldError(f"{where}.tool_calls", "only the assistant calls functions")
    if calls:
        parts += [*(["\n"] if parts else []), call_grammar.written(calls)]
    return Turn(_ROLES[role], tuple(parts)), False


def result_turn(parts: list[str | Media], where: str) -> Turn:
    """A function's result as a turn of the user."""
    texts = [one for one in parts if isinstance(one, str)]
    if len(texts) < len(parts):
        raise FieldError(where, "a function's result is text")
    return Turn("user", (call_grammar.result("".join(texts)),))


def parts_of(content: Any, where: str) -> list[str | Media]:
    """The parts of a message's content."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [content]
    listed = typed(content, list, where)
    if len(listed) > MAX_PARTS:
        raise FieldError(where, f"at most {MAX_PARTS} parts, not {len(listed)}")
    return [_part(one, f"{where}[{i}]") for i, one in enumerate(listed)]


def _part(part: Any, where: str) -> str | Media:
    """One part, as chat or as /v1/responses writes it."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise FieldError(where, f"a part is an object with a type, not {shown(part)}", code="invalid_type")
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return take(part, "text", str, "", where)
        case "refusal":
            return take(part, "refusal", str, "", where)
        case "image_url" | "input_image":
            return _media("picture", part, "image_url", "url", where)
        case "input_audio":
            return _media("sound", part, "input_audio", "data", where)
        case other:
            taken = "text, image_url, input_audio, refusal"
            raise FieldError(f"{where}.type", f"{shown(other)} is not supported; supported are {taken}")


def _media(kind: Literal["picture", "sound"], part: dict[str, Any], name: str, key: str, place: str) -> Media:
    """A picture or a sound from the part's field `name`: an object with its data under `key`, or the data alone."""
    value, where = part.get(name), f"{place}.{name}"
    if isinstance(value, dict):
        where, value = f"{where}.{key}", value.get(key)
    if not isinstance(value, str):
        raise FieldError(where, f"data:...;base64,... is needed here, not {shown(value)}", code="invalid_type")
    return Media(kind, data_of(value, where), where, place)


def _call(call: Any, where: str) -> call_grammar.Call:
    if not isinstance(call, dict) or call.get("type", "function") != "function":
        raise FieldError(where, f"only calls of type function are supported, not {shown(call)}")
    return _function(call.get("function"), f"{where}.function")


def _function(function: Any, where: str) -> call_grammar.Call:
    values = typed(function, dict, where)
    return call_grammar.Call(take(values, "name", str, "", where), take(values, "arguments", str, "{}", where) or "{}")
