"""What a tool is: a name, a sentence, arguments with a schema, and a function.

    @tool(examples=("Flip a coin.", "Heads or tails?"))
    def flip_coin(context: ToolContext) -> str:
        \"\"\"Flips a coin.\"\"\"
        return random.choice(("Heads.", "Tails."))

The function's annotations are the schema of its arguments; what it returns is said to the wearer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, overload

import msgspec

from glasses.errors import GlassesError, InputError, Reason
from glasses.tools.store import ToolStore
from glasses.types import UInt8Array

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Controls(Protocol):
    """What the running assistant lets tools do with the device. Each returns what is said, or raises InputError."""

    def adjust(self, setting: str, level: int | None, change: int) -> str:
        """Sets "volume", "speed" or "brightness" to a level in percent, or steps it up (1) or down (-1)."""
        ...

    def do(self, action: str) -> str:
        """Does "mute", "say_again", "stop" or "take_picture", or reports "battery" or "status"."""
        ...

    def play(self, sound: str) -> str:
        """Plays a sound by its name."""
        ...

    def buzz(self, times: int) -> str:
        """Vibrates so many times."""
        ...


class TextInView(Protocol):
    """What is written in view; see `glasses.assistant.text_reader`."""

    def read(self, page: str) -> str:
        """What is said: the text in view, word for word, or a page of what was read before: "next", "back" ...

        Raises InputError where there is no picture, or nothing to read in it.
        """
        ...


class Tools(Protocol):
    """The tools that there are now; see `ToolRegistry`."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All of them."""
        ...

    def add(self, *tools: Tool) -> None:
        """Adds tools."""
        ...

    def remove(self, *tools: Tool) -> None:
        """Removes tools."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may use: the local time (without a zone), what is kept between runs, the device, the other tools,
    what is written in view. `view` gives the picture of what is in view, as large as there is, or raises InputError.
    """

    now: Callable[[], datetime]
    store: ToolStore
    controls: Controls | None = None
    tools: Tools | None = None
    text: TextInView | None = None
    view: Callable[[], UInt8Array] | None = None

    def picture(self) -> UInt8Array:
        """What is in view, uint8 (H, W, 3). Raises InputError: UNSUPPORTED where nothing sees, and as `view`."""
        if self.view is None:
            raise InputError(Reason.UNSUPPORTED, "I see nothing: that needs the running glasses, or a picture.")
        return self.view()

    def device(self) -> Controls:
        """The device's controls. Raises InputError(UNSUPPORTED) where no device runs."""
        if self.controls is None:
            raise InputError(Reason.UNSUPPORTED, "That needs the running glasses.")
        return self.controls


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing the assistant can do.

    `description` is one sentence. `examples` are wordings that ask for it. `asks_first` is for what cannot be undone:
    the wearer confirms it; `confirm` words the question, "" for none. `reads_only` is for what changes nothing, so that
    it may be called before the wearer's turn is surely over. `questions` are asked for arguments that are missing.
    `arguments` is a msgspec.Struct with a field for each argument. `origin` is who brought it, "" for a tool that came
    with the assistant.
    """

    name: str
    description: str
    arguments: type[msgspec.Struct]
    function: Callable[..., str]
    examples: tuple[str, ...] = ()
    asks_first: bool = False
    reads_only: bool = False
    confirm: Callable[..., str] | None = None
    questions: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""

    def question(self, argument: str) -> str:
        """What the wearer is asked where this argument is missing."""
        return self.questions.get(argument, f"With what {argument.replace('_', ' ')}?")

    def confirmation(self, arguments: Mapping[str, Any]) -> str:
        """What the wearer is asked before a call that cannot be undone, where `confirm` has no better words."""
        told = ", ".join(str(value) for value in arguments.values() if isinstance(value, str | int | float))
        return f"{self.name.replace('_', ' ').capitalize()}{f' {told}' if told else ''}: shall I?"

    @property
    def must_ask(self) -> bool:
        """Whether the wearer must agree before the next call."""
        return self.asks_first

    def agree(self) -> None:
        """The wearer has agreed to the next call."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments, as OpenAI and MCP use it: an object with properties."""
        made = msgspec.json.schema(self.arguments)
        return {"type": "object", **made["$defs"][self.arguments.__name__]}

    def call(self, context: ToolContext, arguments: dict[str, Any]) -> str:
        """What the wearer is told of having done it.

        Raises InputError(BAD_INPUT) for arguments that do not fit the schema or that the tool cannot read; an error
        that the function did not mean to raise becomes InputError(INTERNAL), so that one tool cannot end the assistant.
        """
        return self.call_checked(context, self.checked(arguments))

    def checked(self, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """The arguments as the tool takes them. Raises InputError(BAD_INPUT) where they do not fit the schema."""
        try:
            return msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as error:
            raise misfit(self, error) from error

    def call_checked(self, context: ToolContext, checked: msgspec.Struct) -> str:
        """`call` with arguments that were checked."""
        try:
            said: object = self.function(context, **msgspec.structs.asdict(checked))
        except GlassesError:
            raise
        except (Exception, SystemExit) as error:  # a tool is anybody's code, which may end its own process only
            raise InputError(Reason.INTERNAL, f"tool {self.name} failed: {error!r}") from error
        if not isinstance(said, str):
            raise InputError(Reason.INTERNAL, f"tool {self.name} failed: it returned {type(said).__name__}, no text")
        return said


_KINDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}


def misfit(tool: Tool, error: msgspec.ValidationError) -> InputError:
    """What is wrong with the arguments of a call, and what the tool takes."""
    said = str(error)
    if wrong := re.fullmatch(r"Expected `(\w+)(?: \| null)?`, got `\w+` - at `\$\.(\w+)`", said):
        said = f"{wrong[2]} must be {_KINDS.get(wrong[1], wrong[1])}"
    elif wrong := re.fullmatch(r"Object (missing required|contains unknown) field `(\w+)`", said):
        takes = ", ".join(tool.arguments.__struct_fields__) or "nothing"
        said = f"{wrong[2]} is {'missing' if 'missing' in wrong[1] else 'unknown'}; it takes {takes}"
    return InputError(Reason.BAD_INPUT, f"tool {tool.name}: {said}")


@overload
def tool(function: Callable[..., str]) -> Tool: ...
@overload
def tool(
    *,
    examples: tuple[str, ...] = (),
    asks_first: bool = False,
    reads_only: bool = False,
    confirm: Callable[..., str] | None = None,
    questions: Mapping[str, str] = ...,
) -> Callable[[Callable[..., str]], Tool]: ...
def tool(
    function: Callable[..., str] | None = None,
    *,
    examples: tuple[str, ...] = (),
    asks_first: bool = False,
    reads_only: bool = False,
    confirm: Callable[..., str] | None = None,
    questions: Mapping[str, str] = MappingProxyType({}),
) -> Tool | Callable[[Callable[..., str]], Tool]:
    """Makes a Tool of a function: its name, the first line of its docstring, its annotated arguments.

    Raises TypeError for a function that has no docstring or an argument without an annotation.
    """
    made = partial(
        _made, examples=examples, asks_first=asks_first, reads_only=reads_only, confirm=confirm, questions=questions
    )
    return made if function is None else made(function)


def _made(function: Callable[..., str], *, questions: Mapping[str, str], **how: Any) -> Tool:
    name, doc = function.__name__.rstrip("_"), inspect.getdoc(function)
    if not NAME.fullmatch(name):
        raise TypeError(f"{name!r} is no name for a tool: small letters, digits and _, at most 64")
    if not doc:
        raise TypeError(f"tool {name} needs a docstring: its first line tells the assistant what it is for")
    fields: list[Any] = []
    for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]:
        if parameter.annotation is parameter.empty:
            raise TypeError(f"tool {name}: argument {parameter.name} needs a type")
        default = () if parameter.default is parameter.empty else (parameter.default,)
        fields.append((parameter.name, parameter.annotation, *default))
    arguments = msgspec.defstruct(f"{name}_arguments", fields, forbid_unknown_fields=True, kw_only=True)
    if unknown := [one for one in questions if one not in arguments.__struct_fields__]:
        raise TypeError(f"tool {name}: a question for {unknown[0]}, which is no argument")
    return Tool(name, doc.splitlines()[0], arguments, function, questions=questions, **how)
