"""The chat format of a backbone: cut from templates of several families, refused where it is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.backbone.prompt_format import CHATML, CHATML_TEMPLATE, PromptFormat, Role
from glasses.errors import InputError, ModelError, Reason
from tests.unit.backbone.test_token_rows import write_tiny_model

# What `glasses` fed the shipped backbones before the format came from the template: must never change by itself, for
# the connectors were trained inside it.
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
TURN_BREAK = "<|im_end|>\n<|im_start|>user\n"

# Shortened from the GGUFs of these families: what concerns tools, images and thinking is left out.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2 = """\
{%- if tools %}
    {{- '<|im_start|>system\\nTools.<|im_end|>\\n' }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant") %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
QWEN3 = QWEN2.replace(
    "    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    "    {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}\n",
)
LLAMA3 = """\
{{- bos_token }}
{%- if strftime_now is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MISTRAL = (  # puts the system prompt before the *last* user message
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}"
    "{%- for message in loop_messages %}{%- if message['role'] == 'user' %}"
    "{%- if loop.last and system_message is defined %}"
    "{{- '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
GENERATION = (  # marks the assistant's words, as SmolLM3 does, and breaks out of a loop
    "{% for m in messages %}{% if m.role == 'assistant' %}<a>{% generation %}{{ m.content }}</a>{% endgeneration %}"
    "{% else %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endif %}{% if loop.index > 9 %}{% break %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
LLAMA3_USER = "<|start_header_id|>user<|end_header_id|>\n\n"
LLAMA3_ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"


@pytest.mark.parametrize(
    ("template", "bos", "prefix", "suffix", "turn_break"),
    [
        (SMOLLM2, "", PREFIX, SUFFIX, TURN_BREAK),
        (QWEN2, "", PREFIX, SUFFIX, TURN_BREAK),
        (QWEN3, "", PREFIX, SUFFIX + "<think>\n\n</think>\n\n", TURN_BREAK),
        (CHATML_TEMPLATE, "", PREFIX, SUFFIX, TURN_BREAK),
        (
            LLAMA3,
            "<|begin_of_text|>",
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n"
            f"{SYSTEM}<|eot_id|>{LLAMA3_USER}",
            f"<|eot_id|>{LLAMA3_ASSISTANT}",
            f"<|eot_id|>{LLAMA3_USER}",
        ),
        (
            GEMMA,
            "<bos>",
            f"<bos><start_of_turn>user\n{SYSTEM}\n\n",
            "<end_of_turn>\n<start_of_turn>model\n",
            "<end_of_turn>\n<start_of_turn>user\n",
        ),
        (MISTRAL, "<s>", f"<s>[INST] {SYSTEM}\n\n", "[/INST]", "</s>[INST] "),
        (GENERATION, "", f"<system>{SYSTEM}</system><user>", "</user><a>", "</a><user>"),
    ],
    ids=["smollm2", "qwen2", "qwen3", "chatml", "llama3", "gemma", "mistral", "smollm3"],
)
def test_from_template_of_a_family_gives_the_strings_between_messages(
    template: str, bos: str, prefix: str, suffix: str, turn_break: str
) -> None:
    found = PromptFormat.from_template(template, bos=bos, eos="</s>")
    assert (found.prefix(SYSTEM), found.suffix, found.turn_break) == (prefix, suffix, turn_break)


def test_from_template_that_omits_the_wanted_bos_puts_it_first() -> None:
    found = PromptFormat.from_template(SMOLLM2, bos="<s>", add_bos=True)
    assert found.prefix(SYSTEM) == "<s>" + PREFIX
    assert found.frame(["user"])[0].startswith("<s>")
    twice = PromptFormat.from_template(GEMMA, bos="<bos>", add_bos=True)
    assert twice.prefix(SYSTEM).count("<bos>") == 1
    without = PromptFormat.from_template(SMOLLM2, bos="<s>")
    assert without.prefix(SYSTEM) == PREFIX
    assert not without.frame(["user"])[0].startswith("<s>")


@pytest.mark.parametrize("template", [SMOLLM2, LLAMA3, GEMMA, MISTRAL], ids=["smollm2", "llama3", "gemma", "mistral"])
def test_frame_of_a_conversation_agrees_with_the_strings_of_a_turn(template: str) -> None:
    found = PromptFormat.from_template(template, bos="<s>", eos="</s>")
    frame = found.frame(["system", "user", "assistant", "user"])
    assert frame[0] + SYSTEM + frame[1] == found.prefix(SYSTEM)
    assert frame[3:] == [found.turn_break, found.suffix]


@pytest.mark.parametrize("roles", [["user", "user"], ["assistant", "user"], ["system", "assistant"]])
def test_frame_of_roles_that_the_template_refuses_is_bad_input(roles: list[Role]) -> None:
    found = PromptFormat.from_template(GEMMA, bos="<bos>")
    with pytest.raises(InputError) as caught:
        found.frame(roles)
    assert caught.value.reason is Reason.BAD_INPUT
    assert roles[-1] in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}",  # no end
        "always the same",
        "{{ messages[-1].content }}",
        "{{ raise_exception('no') }}",
        "{{ messages.x.y }}",
        "{{ ''.__class__.__mro__ }}",  # the sandbox forbids it
        "{% for m in messages|reverse %}{{ m.content }}{% endfor %}",
    ],
)
def test_from_template_that_cannot_be_used_is_unsupported(template: str) -> None:
    with pytest.raises(ModelError) as caught:
        PromptFormat.from_template(template)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.models
def test_prompt_format_of_the_pocket_backbone_gives_the_expected_token_ids(backbone: LlamaBackbone) -> None:
    found = backbone.prompt_format
    for text, before in ((found.prefix(SYSTEM), PREFIX), (found.suffix, SUFFIX), (found.turn_break, TURN_BREAK)):
        assert backbone.tokenize(text) == backbone.tokenize(before)
    assert backbone.tokenize(found.suffix) == [2, 198, 1, 520, 9531, 198]
    assert backbone.tokenize(found.turn_break) == [2, 198, 1, 4093, 198]
    assert backbone.tokenize(found.prefix(SYSTEM))[:4] == [1, 9690, 198, 2683]


@pytest.mark.models
def test_prompt_format_given_to_the_backbone_replaces_the_one_in_its_gguf(gguf_path: Path) -> None:
    with LlamaBackbone(gguf_path, n_ctx=64, n_threads=1, chat_template=GEMMA) as backbone:
        assert backbone.prompt_format.suffix == "<end_of_turn>\n<start_of_turn>model\n"


def test_prompt_format_of_a_gguf_without_a_template_is_unsupported(tmp_path: Path) -> None:
    """The error says what to do."""
    write_tiny_model(tmp_path / "tiny.gguf", "llama")
    with LlamaBackbone(tmp_path / "tiny.gguf", n_ctx=256, n_threads=1) as backbone:
        with pytest.raises(ModelError) as caught:
            _ = backbone.prompt_format
        assert caught.value.reason is Reason.UNSUPPORTED
        assert "tiny.gguf" in str(caught.value)
        assert "chat_template" in str(caught.value)


def test_chatml_is_the_format_of_the_shipped_backbones() -> None:
    assert (CHATML.prefix(SYSTEM), CHATML.suffix, CHATML.turn_break) == (PREFIX, SUFFIX, TURN_BREAK)
