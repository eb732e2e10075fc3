"""GET /v1/models and /v1/models/{id}: the bundle."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glasses.errors import Reason
from glasses.service.server.problems import FieldError, problem
from glasses.service.server.service import Service


class Models:
    """The one model that there is."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def all(self, _: Request) -> Response:
        """The list of models."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def one(self, request: Request) -> Response:
        """The model of this id, or 404."""
        model, wanted = self._model(), request.path_params["id"]
        if wanted != model["id"]:
            message = f"there is no model {wanted[:60]!r}; there is {model['id']}"
            return problem(FieldError("model", message, code="model_not_found", reason=Reason.NOT_FOUND))
        return JSONResponse(model)

    def _model(self) -> dict[str, Any]:
        name = self._service.host.loaded.bundle.name
        return {"id": name, "object": "model", "created": 0, "owned_by": "glasses"}
