"""Calls of functions in an answer: how they are described to a backbone, written by it under a grammar, and read.

The format is that of Hermes and Qwen, which small instruct models know best:

    <tool_call>
    {"name": "weather", "arguments": {"city": "Paris"}}
    </tool_call>

Under `grammar` a call names one of the functions and its arguments fit that function's schema, whatever the backbone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glasses.backbone import json_schema
from glasses.errors import InputError, Reason

BEGIN, END = "<tool_call>", "</tool_call>"
MAX_FUNCTIONS = 64
MAX_CALLS = 8  # in one answer
_CALL = re.compile(rf"{BEGIN}\n(.*?)\n{END}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called; `parameters` is the JSON schema of its arguments, an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: dict(json_schema.ANY_OBJECT))
    strict: bool = False


class Call(NamedTuple):
    """A call: the function's name, and its arguments as JSON text."""

    name: str
    arguments: str


def description(functions: Sequence[Function]) -> str:
    """What the system prompt says about the functions: the words of Qwen2.5's chat template."""
    lines = [
        json.dumps(
            {
                "type": "function",
                "function": {"name": one.name, "description": one.description, "parameters": one.parameters},
            },
            ensure_ascii=False,
        )
        for one in functions
    ]
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        + "\n".join(lines)
        + "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call>"
    )


def grammar(functions: Sequence[Function], *, required: bool, parallel: bool, where: str = "tools") -> str:
    """The grammar of an answer with calls of `functions`: one, or with `parallel` up to MAX_CALLS. Unless `required`,
    text may come before them or instead.

    Raises InputError as `json_schema.gbnf`, naming places in `where`; TOO_LARGE for over MAX_FUNCTIONS.
    """
    if not functions or len(functions) > MAX_FUNCTIONS:
        raise InputError(Reason.TOO_LARGE, f"{where}: from 1 to {MAX_FUNCTIONS} functions")
    rules, names = [], []
    for i, one in enumerate(functions):
        text = json_schema.gbnf(
            one.parameters, strict=one.strict, where=f"{where}[{i}].function.parameters ({one.name})"
        )
        rules.append(_renamed(text, f"f{i}-"))
        names.append(f"f{i}")
        head = json.dumps(f'{{"name": {json.dumps(one.name)}, "arguments": ', ensure_ascii=False)
        rules.append(f'f{i} ::= {head} f{i}-root "}}"')
    rules.append(f'call ::= "{BEGIN}\\n" ({" | ".join(names)}) "\\n{END}"')
    calls = f'call ("\\n" call){{0,{MAX_CALLS - 1}}}' if parallel else "call"
    rules.append(f"calls ::= {calls}")
    rules += ["root ::= calls"] if required else ["root ::= text-0", *_text_then("calls")]
    return "\n".join(rules)


def read(text: str) -> tuple[str, list[Call]]:
    """The text of an answer without its calls, and the calls, in order. What is not whole is dropped."""
    calls = []
    for found in _CALL.finditer(text):
        try:
            call = json.loads(found[1])
            calls.append(Call(str(call["name"]), json.dumps(call["arguments"], ensure_ascii=False)))
        except (ValueError, KeyError, TypeError):
            continue
    return text.partition(BEGIN)[0], calls


def written(calls: Sequence[Call]) -> str:
    """Calls as the assistant's words in a conversation. Arguments that are no JSON are kept as a JSON text."""
    return "\n".join(
        f'{BEGIN}\n{{"name": {json.dumps(one.name, ensure_ascii=False)}, "arguments": {_arguments(one)}}}\n{END}'
        for one in calls
    )


def result(text: str) -> str:
    """A function's result as the user's words in a conversation."""
    return f"<tool_response>\n{text}\n</tool_response>"


def _arguments(call: Call) -> str:
    try:
        json.loads(call.arguments)
    except ValueError:
        return json.dumps(call.arguments, ensure_ascii=False)
    return call.arguments


def _renamed(gbnf: str, prefix: str) -> str:
    """The rules of a grammar with a prefix before their names, there and wherever they are used."""
    names = {line.partition(" ::= ")[0] for line in gbnf.splitlines()}
    tokens = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\{[0-9,]*\}|[A-Za-z0-9-]+')
    return tokens.sub(lambda found: prefix + found[0] if found[0] in names else found[0], gbnf)


def _text_then(rule: str) -> list[str]:
    """Rules `text-0` and so on: any text, and where BEGIN would stand in it `rule`, which begins with BEGIN.

    In `text-N` the first N characters of BEGIN have just come, and its next one may not.
    """
    rules = [f'text-0 ::= ([^<] text-0 | "<" text-1 | {rule})?']
    for n in range(1, len(BEGIN)):
        onwards = f'"{BEGIN[n]}" text-{n + 1} | ' if n + 1 < len(BEGIN) else ""
        rules.append(f'text-{n} ::= ({onwards}"<" text-1 | [^<{BEGIN[n]}] text-0)?')
    return rules
