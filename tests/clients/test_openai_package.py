"""The openai package against `glasses serve`: chat, streams, tools, parse, audio, errors, leaving.

What is asserted is the structure. The pocket bundle has 135 million parameters: what it says is another matter.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
import soundfile
from openai.types import completion_create_params
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params
from PIL import Image
from pydantic import BaseModel, Field

from glasses.service.server.openai import fields
from tests.clients.conftest import TOKEN

pytestmark = [pytest.mark.models, pytest.mark.clients]
ASKED: ChatCompletionMessageParam = {"role": "user", "content": "What is the capital of France?"}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 16}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=TOKEN, max_retries=0, timeout=120) as made:
        yield made


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=130)
    kind: Literal["adult", "child"]
    pets: list[Literal["cat", "dog"]] = Field(max_length=2)


@pytest.mark.parametrize(
    ("sent", "table"),
    [
        (chat_params.CompletionCreateParamsBase, fields.CHAT),
        (completion_create_params.CompletionCreateParamsBase, fields.COMPLETIONS),
        (response_create_params.ResponseCreateParamsBase, fields.RESPONSES),
        (transcription_create_params.TranscriptionCreateParamsBase, fields.TRANSCRIPTIONS),
        (speech_create_params.SpeechCreateParams, fields.SPEECH),
    ],
)
def test_fields_tables_have_every_field_of_the_package(sent: Any, table: dict[str, fields.Field]) -> None:
    assert set(sent.__annotations__) - set(table) == set()


def test_chat_whole_and_streamed_give_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gpt-4o", messages=[ASKED], max_tokens=16)
    assert whole.model == "pocket"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    stream = client.chat.completions.create(
        model="gpt-4o", messages=[ASKED], max_tokens=16, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    with client.chat.completions.stream(model="gpt-4o", messages=[ASKED], max_tokens=16) as helper:
        assert helper.get_final_completion().choices[0].message.content == text


def test_chat_picture_and_sound_are_taken(client: openai.OpenAI, eval_folder: Path) -> None:
    def data(path: str) -> str:
        return base64.b64encode((eval_folder / path).read_bytes()).decode()

    picture: Any = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data('pictures/penguin.jpg')}"}}
    sound: Any = {"type": "input_audio", "input_audio": {"data": data("speech/question-090.ogg"), "format": "wav"}}
    for part in (picture, sound):
        message: Any = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}
        answer = client.chat.completions.create(model="x", messages=[message], max_tokens=8)
        assert answer.choices[0].message.content


def test_chat_blank_picture_is_told_of_and_refused_where_an_object_is_wanted(client: openai.OpenAI) -> None:
    out = io.BytesIO()
    Image.new("RGB", (320, 240), "white").save(out, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    content: Any = [{"type": "text", "text": "Who is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    messages: list[Any] = [{"role": "user", "content": content}]
    reply = "I cannot see anything in the picture: it is all white."
    notes = ["nothing can be seen in messages[0].content[1]: it is all white"]
    whole = client.chat.completions.create(model="x", messages=messages, max_tokens=4)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (reply, "stop")
    assert (whole.model_extra or {})["notes"] == notes
    assert whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    for usage in (False, True):
        options: Any = {"include_usage": usage}
        stream = client.chat.completions.create(model="x", messages=messages, stream=True, stream_options=options)
        *others, last = list(stream)
        assert "".join(one.choices[0].delta.content or "" for one in [*others, last] if one.choices) == reply
        assert (last.model_extra or {})["notes"] == notes
        assert not any("notes" in (one.model_extra or {}) for one in others)
        assert last.usage == (whole.usage if usage else None)
    parsed = client.chat.completions.parse(model="x", messages=messages, response_format=Person).choices[0].message
    assert (parsed.parsed, parsed.refusal) == (None, reply)
    with client.chat.completions.stream(model="x", messages=messages, response_format=Person) as helper:
        assert helper.get_final_completion().choices[0].message.refusal == reply


def test_responses_blank_picture_is_told_of(client: openai.OpenAI) -> None:
    url = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"  # one pixel
    given: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    with client.responses.stream(model="x", input=given) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == client.responses.create(model="x", input=given).output_text
    assert "too small to show anything" in final.output_text
    assert "input[0].content[0]" in (final.model_extra or {})["notes"][0]
    with client.responses.stream(model="x", input=given, text_format=Person) as stream:
        refused = "".join(event.delta for event in stream if event.type == "response.refusal.delta")
        (message,) = stream.get_final_response().output
    assert refused == final.output_text
    assert message.type == "message"
    assert message.content[0].type == "refusal"


def test_parse_gives_an_object_of_the_type(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Ann is 34 years old and has a cat. Describe her."}]
    parsed = (
        client.chat.completions.parse(model="x", messages=messages, response_format=Person).choices[0].message.parsed
    )
    assert isinstance(parsed, Person)
    response = client.responses.parse(model="x", input="Ann is 34 and has a cat.", text_format=Person)
    assert isinstance(response.output_parsed, Person)
    with client.chat.completions.stream(model="x", messages=messages, response_format=Person) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)


def test_tools_loop_calls_and_reads_the_result(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = client.chat.completions.create(model="x", messages=messages, tools=[WEATHER], tool_choice="required")
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls
    for call in calls:
        assert call.type == "function"
        assert call.function.name == "weather"
        assert set(json.loads(call.function.arguments)) == {"city", "unit"}
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees."} for call in calls]
    last = client.chat.completions.create(
        model="x", messages=messages, tools=[WEATHER], tool_choice="none", max_tokens=32
    )
    assert last.choices[0].message.content
    assert not last.choices[0].message.tool_calls
    auto = client.chat.completions.create(model="x", messages=[ASKED], tools=[WEATHER], max_tokens=64)
    assert auto.choices[0].finish_reason in ("stop", "tool_calls", "length")
    named: Any = {"type": "function", "function": {"name": "weather"}}
    with client.chat.completions.stream(model="x", messages=[ASKED], tools=[WEATHER], tool_choice=named) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert set(json.loads(call.function.arguments)) == {"city", "unit"}


def test_responses_stream_ends_with_the_whole(client: openai.OpenAI) -> None:
    with client.responses.stream(model="x", input="What is the capital of France?") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == stream.get_final_response().output_text
    tool: Any = {"type": "function", **WEATHER["function"]}
    response = client.responses.create(model="x", input="Weather in Paris?", tools=[tool], tool_choice="required")
    call = next(item for item in response.output if item.type == "function_call")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    given: Any = [{"role": "user", "content": "Weather in Paris?"}, *response.output, output]
    assert client.responses.create(model="x", input=given, max_output_tokens=16).output_text


def test_audio_spoken_text_is_transcribed(client: openai.OpenAI, eval_folder: Path) -> None:
    heard = client.audio.transcriptions.create(model="whisper-1", file=eval_folder / "speech" / "question-090.ogg")
    assert "France" in heard.text
    wanted: tuple[Literal["mp3", "opus", "flac", "wav", "pcm"], ...] = ("mp3", "opus", "flac", "wav", "pcm")
    for kind in wanted:
        spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello there.", response_format=kind)
        data = spoken.read()
        seconds = len(data) / 48_000 if kind == "pcm" else soundfile.info(io.BytesIO(data)).duration
        assert 0.3 < seconds < 3


def test_errors_are_those_of_the_package(client: openai.OpenAI, base_url: str) -> None:
    remote: Any = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="x", messages=[ASKED, remote])
    assert bad.value.param == "messages[1].content[0].image_url.url"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "word " * 9000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as unknown:
        client.chat.completions.create(model="x", messages=[ASKED], extra_body={"min_p": 0.1})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "min_p")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")
    assert client.models.retrieve("pocket").id == "pocket"
    assert [model.id for model in client.models.list()] == ["pocket"]
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="x", input="text")
    with (
        openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0) as other,
        pytest.raises(openai.AuthenticationError),
    ):
        other.models.list()


def test_client_that_leaves_or_times_out_frees_the_service(client: openai.OpenAI, base_url: str) -> None:
    # No token that ends an answer (end of text, start and end of a turn) may come: the story is as long as asked for.
    story: Any = {
        "model": "x",
        "messages": [{"role": "user", "content": "Tell me a very long story."}],
        "temperature": 1.3,
        "logit_bias": {str(token): -100 for token in range(3)},
    }
    for _ in range(3):
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.5).chat.completions.create(**story, max_tokens=1024)
        with client.chat.completions.create(**story, max_tokens=1024, stream=True) as stream:
            next(iter(stream))

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=TOKEN, max_retries=0) as other:
            tasks = [asyncio.create_task(other.chat.completions.create(**story, max_tokens=1024)) for _ in range(4)]
            await asyncio.sleep(0.5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(cancelled())
    since = time.monotonic()
    client.chat.completions.create(model="x", messages=[ASKED], max_tokens=4)
    print(f"answered {time.monotonic() - since:.1f} s after ten clients left")
