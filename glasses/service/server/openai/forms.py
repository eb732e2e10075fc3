"""The form that a request wants its answer in: response_format, tools and tool_choice, each as a grammar."""

from __future__ import annotations

from typing import Any

import msgspec

from glasses.backbone.vocabulary import Vocabulary
from glasses.errors import InputError
from glasses.service.protocol.generation_params import CallAnswer, Function, JsonAnswer
from glasses.service.server.answer_form import check
from glasses.service.server.openai.reading import shown, take, typed
from glasses.service.server.problems import FieldError

MAX_TOOLS = 64
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def json_form(value: Any, where: str) -> JsonAnswer | None:
    """A response_format, or the `format` of /v1/responses; None for text. Raises FieldError."""
    format_ = typed(value, dict, where)
    match format_.get("type"):
        case "text":
            return None
        case "json_object":
            return JsonAnswer()
        case "json_schema":
            place = where
            if "json_schema" in format_:
                format_, place = typed(format_["json_schema"], dict, f"{where}.json_schema"), f"{where}.json_schema"
            schema = take(format_, "schema", dict, None, place)
            if schema is None:
                raise FieldError(f"{place}.schema", "a JSON schema is needed here")
            return JsonAnswer(schema, take(format_, "strict", bool, False, place))
        case other:
            raise FieldError(f"{where}.type", f"text, json_object or json_schema, not {shown(other)}")


def functions_of(tools: list[Any], where: str = "tools") -> list[Function]:
    """The functions of `tools`, in chat's form or in that of /v1/responses. Raises FieldError."""
    if len(tools) > MAX_TOOLS:
        raise FieldError(where, f"at most {MAX_TOOLS} tools, not {len(tools)}")
    out = []
    for i, tool in enumerate(tools):
        place = f"{where}[{i}]"
        values = typed(tool, dict, place)
        if values.get("type", "function") != "function":
            raise FieldError(f"{place}.type", f"only functions are supported, not {shown(values['type'])}")
        if "function" in values:
            place = f"{place}.function"
            values = typed(values["function"], dict, place)
        out.append(_function(values, place))
    if len({one.name for one in out}) < len(out):
        raise FieldError(where, "two functions have one name")
    return out


def _function(values: dict[str, Any], where: str) -> Function:
    parameters = take(values, "parameters", dict, None, where) or _NO_PARAMETERS
    fields = {
        "name": take(values, "name", str, "", where),
        "description": take(values, "description", str, "", where),
        "parameters": parameters,
        "strict": take(values, "strict", bool, False, where),
    }
    try:
        return msgspec.convert(fields, Function)
    except msgspec.ValidationError as error:
        raise FieldError(where, str(error)) from error


def call_form(
    functions: list[Function], choice: Any, *, parallel: bool, where: str = "tool_choice"
) -> CallAnswer | None:
    """What `tool_choice` says of the functions; None where none may be called. Raises FieldError."""
    if choice in (None, "auto", "none", "required"):
        if not functions:
            if choice == "required":
                raise FieldError(where, "there are no tools to choose from")
            return None
        return None if choice == "none" else CallAnswer(functions, choice == "required", parallel)
    values = typed(choice, dict, where)
    if values.get("type") == "allowed_tools":
        allowed = take(values, "allowed_tools", dict, values, where)
        names = [_name(one) for one in take(allowed, "tools", list, [], where)]
        chosen = [_named(functions, name, f"{where}.tools") for name in names]
        return CallAnswer(chosen, allowed.get("mode") == "required", parallel)
    if values.get("type", "function") != "function":
        raise FieldError(f"{where}.type", f"only functions are supported, not {shown(values['type'])}")
    return CallAnswer([_named(functions, _name(values), where)], True, False)


def _name(choice: Any) -> Any:
    """The name of a function in a choice, in chat's form or in that of /v1/responses."""
    if not isinstance(choice, dict):
        return None
    return choice["function"].get("name") if isinstance(choice.get("function"), dict) else choice.get("name")


def _named(functions: list[Function], name: Any, where: str) -> Function:
    found = next((one for one in functions if one.name == name), None)
    if found is None:
        raise FieldError(where, f"there is no function {shown(name)} in tools")
    return found


def checked(form: JsonAnswer | CallAnswer | None, vocabulary: Vocabulary, where: str) -> None:
    """Makes the grammar, so that a schema that cannot be used is refused before any work. Raises FieldError."""
    if form is None:
        return
    try:
        check(form, vocabulary, where)
    except InputError as error:
        message = str(error).removeprefix(f"{where}: ")
        raise FieldError(where, message, code="invalid_schema", reason=error.reason) from error
