"""The chat format of a backbone: the text that stands around every message of a conversation.

A GGUF carries its format as a Jinja template (`tokenizer.chat_template`). A template can only place text, and a user's
message here is a sequence of embeddings. So the template is rendered once with a marker for every message and cut at
the markers; what is left are the strings to tokenize between the messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Literal, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from glasses.errors import InputError, ModelError, Reason

Role = Literal["system", "user", "assistant"]
FOLD = "\n\n"  # between the system prompt and the user's first words where a template has no system role
# Given to templates that print today's date. The KV cache of the system prompt is kept between days, so the date must
# not change; this is the one that Llama 3's template falls back to.
_DATE = date(2024, 7, 26)
_MARKER = 0xE000  # private-use characters: no template contains, strips or changes them


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """The strings between the messages of a conversation, for one chat template.

    A conversation is `prefix(system)`, the user's first words, `suffix`, the answer, `turn_break`, the user's next
    words, `suffix`, and so on. All strings are to be tokenized with control tokens on (`special=True`).
    """

    before_system: str
    after_system: str  # from the system prompt to the user's first words
    suffix: str  # from the user's words to the answer
    turn_break: str  # from the answer, without its end-of-turn token, to the user's next words
    template: str
    bos: str = ""
    eos: str = ""

    @staticmethod
    def from_template(template: str, *, bos: str = "", eos: str = "", add_bos: bool = False) -> PromptFormat:
        """Cuts a Jinja chat template into its strings. With `add_bos` the vocabulary wants `bos` first, whether the
        template writes it or not.

        Raises ModelError(UNSUPPORTED) for a template that cannot be rendered or does not keep the messages in order.
        """
        try:
            frame = _frame(template, ("system", "user", "assistant", "user"), bos, eos)
        except (jinja2.TemplateError, InputError, TypeError, ValueError) as error:
            raise ModelError(Reason.UNSUPPORTED, f"the chat template cannot be used: {error}") from error
        before_system, after_system, _, turn_break, suffix = frame
        if add_bos and not before_system.startswith(bos):
            before_system = bos + before_system
        return PromptFormat(before_system, after_system, suffix, turn_break, template, bos, eos)

    def prefix(self, system: str) -> str:
        """From the start of a conversation with this system prompt to the user's first words."""
        return self.before_system + system + self.after_system

    def frame(self, roles: Sequence[Role]) -> list[str]:
        """The strings around messages of these roles: one before each message, and one after the last that begins the
        answer; len(roles) + 1 strings. Raises InputError(BAD_INPUT) for an order that the template does not allow.
        """
        try:
            first, *others = _frame(self.template, tuple(roles), self.bos, self.eos)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise InputError(
                Reason.BAD_INPUT, f"this model's chat template takes no conversation of {', '.join(roles)}: {error}"
            ) from error
        if self.before_system.startswith(self.bos) and not first.startswith(self.bos):
            first = self.bos + first
        return [first, *others]


def _frame(template: str, roles: tuple[Role, ...], bos: str, eos: str) -> list[str]:
    """The strings around `roles`; a template without a system role gets the system prompt in the first user message."""
    try:
        return _cut(template, roles, bos, eos)
    except (jinja2.TemplateError, InputError):
        if roles[:2] != ("system", "user"):
            raise
    before, *others = _cut(template, roles[1:], bos, eos)
    return [before, FOLD, *others]


def _cut(template: str, roles: tuple[Role, ...], bos: str, eos: str) -> list[str]:
    markers = [chr(_MARKER + i) for i in range(len(roles))]
    messages = [{"role": role, "content": marker} for role, marker in zip(roles, markers, strict=True)]
    text = _compiled(template).render(
        messages=messages, add_generation_prompt=True, bos_token=bos, eos_token=eos, tools=None, enable_thinking=False
    )
    strings: list[str] = []
    for marker in markers:
        if text.count(marker) != 1:
            raise InputError(Reason.BAD_INPUT, "the template drops, repeats or reorders messages")
        before, _, text = text.partition(marker)
        strings.append(before)
    return [*strings, text]


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    """Compiled as Hugging Face's tokenizers do it; sandboxed, because a template comes with a downloaded file."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.globals.update(raise_exception=_raise, strftime_now=_DATE.strftime)
    return environment.from_string(template)


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For a bundle whose backbone speaks ChatML but whose GGUF says nothing."""
CHATML = PromptFormat.from_template(CHATML_TEMPLATE)
"""The format of the shipped backbones, SmolLM2 and Qwen2.5, in which the shipped connectors were trained."""
