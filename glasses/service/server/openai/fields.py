"""Every field of OpenAI's requests, and what becomes of it here: honoured, harmless, or refused by name.

- *honoured*: it does what OpenAI's documentation says, within what the note says.
- *harmless*: it is taken and does nothing, because it could not change the answer.
- *refused*: a request with it gets status 400 that names it, but for the values that ask for nothing.

A field that stands in no table is refused as unknown. null is always the same as leaving a field out. The tables are
published in `GET /v1/openapi.json` (`x-fields`), and printed in glasses/service/README.md:

    python -m glasses.service.server.openai.fields
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Field:
    """What becomes of one field; `passes` are the values of a refused one that ask for nothing."""

    state: Literal["honoured", "harmless", "refused"]
    note: str
    passes: tuple[Any, ...] = ()


def _honoured(note: str = "") -> Field:
    return Field("honoured", note)


def _harmless(note: str) -> Field:
    return Field("harmless", note)


def _refused(note: str, *passes: Any) -> Field:
    return Field("refused", note, passes)


_MODEL = _honoured("any name is answered by the bundle; the answer's `model` says which that is")
_TAG = _harmless("a label for OpenAI's own accounts")
_CACHE = _harmless("caching is not the client's to steer")
_TIER = _harmless("there is one tier")
_MODERATION = _refused("nothing is moderated")
_STORE = _refused("nothing is stored", False)
_SAMPLING = {
    "temperature": _honoured("0 to 2; left out: 0, at which a small backbone rambles least (OpenAI: 1)"),
    "top_p": _honoured("0 to 1; 0 takes the likeliest token"),
}
_PENALTIES = {
    "presence_penalty": _honoured("-2 to 2"),
    "frequency_penalty": _honoured("-2 to 2"),
    "logit_bias": _honoured("up to 1,024 token ids, -100 to 100"),
    "seed": _honoured("the same seed gives the same answer; left out or -1: random"),
    "stop": _honoured("a string or up to 16, also across tokens and in streams"),
}
_STREAM = {
    "stream": _honoured(),
    "stream_options": _honoured("`include_usage`; `include_obfuscation` is harmless"),
}
_TOOLS = {
    "tools": _honoured("functions, up to 64; a call fits its schema by grammar. Other types of tools are refused"),
    "tool_choice": _honoured("none, auto, required, a function, allowed_tools"),
    "parallel_tool_calls": _honoured("left out: true; at most 8 calls"),
}

CHAT: dict[str, Field] = {
    "messages": _honoured("up to 512: see below"),
    "model": _MODEL,
    **_STREAM,
    "max_tokens": _honoured("left out: 128, with a grammar 512; at most 1,024"),
    "max_completion_tokens": _honoured("outranks `max_tokens`"),
    **_SAMPLING,
    **_PENALTIES,
    "n": _honoured("1 to 8, one after the other"),
    "logprobs": _honoured("of the full distribution at temperature 1"),
    "top_logprobs": _honoured("0 to 20, needs `logprobs`"),
    "response_format": _honoured(
        "text, json_object, json_schema by grammar; with `strict` what cannot be enforced is refused"
    ),
    **_TOOLS,
    "functions": _honoured("the old form of `tools`"),
    "function_call": _honoured("the old form of `tool_choice`"),
    "modalities": _refused("answers are text; POST /v1/audio/speech makes sound of it", ["text"]),
    "audio": _refused("answers are text; POST /v1/audio/speech makes sound of it"),
    "web_search_options": _refused("nothing is searched for"),
    "verbosity": _refused("say in words how long the answer should be", "medium"),
    "moderation": _MODERATION,
    "store": _STORE,
    "prediction": _harmless("it could only make the answer come sooner"),
    "reasoning_effort": _harmless("the bundles do not reason before they answer"),
    "service_tier": _TIER,
    "user": _TAG,
    "metadata": _TAG,
    "safety_identifier": _TAG,
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
}
MESSAGE: dict[str, Field] = {
    "role": _honoured("system, developer (as system), user, assistant, tool, function"),
    "content": _honoured("text; parts `text`, `image_url`, `input_audio`, `refusal`; null or left out: nothing"),
    "tool_calls": _honoured("of an assistant's message"),
    "function_call": _honoured("its old form"),
    "refusal": _honoured("read as the message's text"),
    "tool_call_id": _harmless("results are read in their order"),
    "name": _harmless("the chat formats have no place for it"),
    "annotations": _harmless("notes on an answer that was given"),
    "reasoning_content": _harmless("what another model thought"),
    "reasoning": _harmless("what another model thought"),
    "audio": _refused("send the sound as a part `input_audio`"),
}
COMPLETIONS: dict[str, Field] = {
    "prompt": _honoured("a text, token ids, or up to 8 of them; it is continued as it stands, without a chat format"),
    "model": _MODEL,
    **_STREAM,
    "max_tokens": _honoured("left out: 16; at most 1,024"),
    **_SAMPLING,
    **_PENALTIES,
    "n": _honoured("1 to 8 a prompt"),
    "logprobs": _honoured("0 to 5"),
    "echo": _honoured("the prompt's text before the answer, without its log-probabilities"),
    "best_of": _refused("ask for `n` and choose", 1),
    "suffix": _refused("nothing is filled in between", ""),
    "user": _TAG,
}
RESPONSES: dict[str, Field] = {
    "input": _honoured("a text, or messages of text, pictures and sounds, calls and their results"),
    "instructions": _honoured("a system message before the input"),
    "model": _MODEL,
    **_STREAM,
    "max_output_tokens": _honoured("left out: 128, with a grammar 512; at most 1,024"),
    **_SAMPLING,
    "text": _honoured("`format`: text, json_object, json_schema; `verbosity` is refused but for medium"),
    **_TOOLS,
    "top_logprobs": _refused("ask for them in /v1/chat/completions", 0),
    "store": _harmless("nothing is stored: send the whole conversation as `input`"),
    "previous_response_id": _refused("nothing is stored: send the whole conversation as `input`"),
    "conversation": _refused("nothing is stored: send the whole conversation as `input`"),
    "prompt": _refused("there are no stored prompts"),
    "background": _refused("the answer comes with the request", False),
    "background_options": _refused("the answer comes with the request"),
    "context_management": _refused("a conversation that is too long is refused"),
    "truncation": _refused("a conversation that is too long is refused", "disabled"),
    "max_tool_calls": _refused("there are no built-in tools"),
    "include": _refused("there is nothing more to include", [], ["reasoning.encrypted_content"]),
    "image": _refused("no pictures are made"),
    "access_programs": _refused("there are none"),
    "moderation": _MODERATION,
    "reasoning": _harmless("the bundles do not reason before they answer"),
    "service_tier": _TIER,
    "user": _TAG,
    "metadata": _honoured("given back"),
    "safety_identifier": _TAG,
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
}
TRANSCRIPTIONS: dict[str, Field] = {
    "file": _honoured("WAV, FLAC, OGG, Opus, MP3 or AIFF, up to 24 MB and 120 s"),
    "model": _MODEL,
    "response_format": _honoured("json, text, verbose_json (one segment); srt, vtt and diarized_json are refused"),
    "stream": _honoured("the text comes in one event"),
    "language": _refused("the encoder understands English only", "en", "eng", "english"),
    "languages": _refused("the encoder understands English only", ["en"]),
    "prompt": _refused("the decoder takes no hints", ""),
    "keywords": _refused("the decoder takes no hints", []),
    "temperature": _refused("there is one reading", 0, 0.0, "0", "0.0"),
    "timestamp_granularities": _refused("times are not known", [], ["segment"]),
    "chunking_strategy": _refused("long sounds are cut at quiet moments by themselves", "auto"),
    "include": _refused("there is nothing more to include", []),
    "known_speaker_names": _refused("speakers are not told apart", []),
    "known_speaker_references": _refused("speakers are not told apart", []),
}
SPEECH: dict[str, Field] = {
    "input": _honoured("up to 4,096 characters"),
    "model": _MODEL,
    "voice": _harmless("the bundle has one voice (pocket: Piper en-us-joe-medium); any name is answered by it"),
    "response_format": _honoured("mp3 (left out), opus, flac, wav, pcm (16 bits, mono, 24 kHz); aac is refused"),
    "speed": _refused("the voice has one speed", 1, 1.0),
    "instructions": _refused("the voice takes no directions", ""),
    "stream_format": _refused("the sound comes whole", "audio"),
}
ROUTES: dict[str, dict[str, Field]] = {
    "POST /v1/chat/completions": CHAT,
    "its messages": MESSAGE,
    "POST /v1/completions": COMPLETIONS,
    "POST /v1/responses": RESPONSES,
    "POST /v1/audio/transcriptions": TRANSCRIPTIONS,
    "POST /v1/audio/speech": SPEECH,
}


def published(table: dict[str, Field]) -> dict[str, dict[str, Any]]:
    """A table as JSON, for the OpenAPI document."""
    return {name: {"state": one.state, "note": one.note, "passes": list(one.passes)} for name, one in table.items()}


def markdown() -> str:
    """All tables, for the README."""
    out = []
    for route, table in ROUTES.items():
        out += ["", f"| {route} | | |", "|---|---|---|"]
        for name, one in table.items():
            passes = f" ({', '.join(f'`{value!r}`' for value in one.passes)} passes)" if one.passes else ""
            out.append(f"| `{name}` | {one.state} | {one.note}{passes} |")
    return "\n".join(out[1:])


if __name__ == "__main__":
    print(markdown())
