"""An agent framework, pydantic-ai, against `glasses serve`: structured output, tools, streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput, UsageLimitExceeded, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.conftest import TOKEN

pytestmark = [pytest.mark.models, pytest.mark.clients, pytest.mark.parametrize("kind", ["chat", "responses"])]


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=16)
    continent: Literal["Europe", "Asia", "Africa"]


def run(base_url: str, kind: str, scenario: Callable[[Any], Awaitable[None]]) -> None:
    """Runs `scenario` with a model of pydantic-ai."""

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=base_url, api_key=TOKEN, max_retries=0, timeout=120) as client:
            made = OpenAIChatModel if kind == "chat" else OpenAIResponsesModel
            await scenario(made("pocket", provider=OpenAIProvider(openai_client=client)))

    asyncio.run(main())


def test_agent_answers_whole_and_as_a_stream(base_url: str, kind: str) -> None:
    async def scenario(model: Any) -> None:
        agent = Agent(model, instructions="Be brief.", model_settings={"max_tokens": 16})
        whole = (await agent.run("What is the capital of France?")).output
        async with agent.run_stream("What is the capital of France?") as stream:
            assert "".join([text async for text in stream.stream_text(delta=True)]) == whole

    run(base_url, kind, scenario)


@pytest.mark.parametrize("how", [NativeOutput, ToolOutput])
def test_agent_gets_an_object_by_schema_and_by_tool(base_url: str, kind: str, how: Any) -> None:
    async def scenario(model: Any) -> None:
        agent = Agent(model, output_type=how(City))
        assert isinstance((await agent.run("Paris is the capital of France.")).output, City)

    run(base_url, kind, scenario)


def test_agent_calls_a_tool_and_goes_on(base_url: str, kind: str) -> None:
    """Whether the tool is called is the model's choice, as is when it has heard enough."""

    async def scenario(model: Any) -> None:
        agent, asked = Agent(model, output_type=ToolOutput(City)), list[str]()

        @agent.tool_plain
        def population(continent: Literal["Europe", "Asia"]) -> str:
            """Tells how many people live on a continent."""
            asked.append(continent)
            return "Some hundred millions."

        with contextlib.suppress(UsageLimitExceeded):
            result = await agent.run("Which city is the capital of France?", usage_limits=UsageLimits(request_limit=4))
            assert isinstance(result.output, City)
        assert set(asked) <= {"Europe", "Asia"}

    run(base_url, kind, scenario)
