"""The routes of OpenAI's API, for `make_app`."""

from __future__ import annotations

from starlette.routing import Route

from glasses.service.server.openai import audio, chat, completions, responses
from glasses.service.server.openai.models import Models
from glasses.service.server.openai.responding import endpoint
from glasses.service.server.service import Service


def routes(service: Service) -> list[Route]:
    """All of them; a path may end with a slash, because some clients add one and lose the body at a redirect."""
    models = Models(service)
    posts = {
        "/v1/chat/completions": endpoint(service, chat.read, chat.answer),
        "/v1/completions": completions.endpoint(service),
        "/v1/responses": endpoint(service, responses.read, responses.answer),
        "/v1/audio/transcriptions": audio.transcriptions(service),
        "/v1/audio/speech": audio.speech(service),
    }
    return [
        Route("/v1/models", models.all),
        Route("/v1/models/{id:path}", models.one),
        *(Route(path + end, handle, methods=["POST"]) for path, handle in posts.items() for end in ("", "/")),
    ]
