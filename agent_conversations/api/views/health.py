"""Health, for load balancers and people. Never behind the flag."""

from collections.abc import Callable
from typing import Any, Literal

from django.conf import settings
from drf_spectacular.utils import extend_schema
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agent_conversations.api.openapi.operations import error_responses, success_response
from agent_conversations.services import readiness
from sessions_store.errors import StoreUnavailableError, WritesRefusedError
from sessions_store.wire.model import WireModel


class Liveness(WireModel):
    status: Literal["ok"] = "ok"


class Readiness(WireModel):
    status: Literal["ok"] = "ok"
    redis: Literal["ok"] = "ok"
    enabled: bool = Field(description="Whether the feature flag is on.")
    advice: dict[str, str] | None = Field(
        default=None, description="What is wrong with the Redis server, and what to do about it."
    )


def _operation(operation_id: str, body: WireModel, *errors: type[Exception]) -> Callable[..., Any]:
    success = success_response(type(body), "Healthy", {"Healthy": body.to_wire()})
    return extend_schema(
        operation_id=operation_id,
        tags=["health"],
        responses={200: success, **error_responses(errors)},
    )


class _OpenView(APIView):
    permission_classes = []
    authentication_classes = []
    http_method_names = ["get", "head"]


class LiveView(_OpenView):
    """Whether the process responds. Does not ask Redis."""

    @_operation("getLiveness", Liveness())
    def get(self, request: Request) -> Response:
        return Response(Liveness())


class ReadyView(_OpenView):
    """Whether the service can do its work: Redis has taken a write, within the last second or so.

    ``advice`` names what is wrong with the server, such as an eviction policy, and what to do.
    """

    @_operation("getReadiness", Readiness(enabled=True), StoreUnavailableError)
    def get(self, request: Request) -> Response:
        problems = readiness().problems()
        advice = {problem.code: problem.message for problem in problems}
        refusals = [problem.message for problem in problems if problem.refuses_writes]
        if refusals:
            raise WritesRefusedError(" ".join(refusals), advice)
        return Response(Readiness(enabled=settings.ELEVENLABS_AGENT_ENABLED, advice=advice or None))


class HealthView(ReadyView):
    """The same as ``/health/ready``."""

    @_operation("getHealth", Readiness(enabled=True), StoreUnavailableError)
    def get(self, request: Request) -> Response:
        response: Response = super().get(request)
        return response
