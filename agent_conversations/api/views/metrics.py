"""The metrics of the service, for Prometheus. Never behind the flag, but behind the tokens."""

from collections.abc import Iterable

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from rest_framework.request import Request
from rest_framework.views import APIView

from agent_conversations.access import Scope
from agent_conversations.api.authentication import HasScope
from agent_conversations.api.negotiation import FirstRenderer
from agent_conversations.metrics import CONTENT_TYPE
from agent_conversations.services import metrics, readiness, store
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.server_checks import count_evicted_keys


@extend_schema(exclude=True)
class MetricsView(APIView):
    """What all processes of the service have counted, in Prometheus' text format."""

    permission_classes = [HasScope]
    scope: Scope = "metrics"
    content_negotiation_class = FirstRenderer
    http_method_names = ["get", "head"]

    def get(self, request: Request) -> HttpResponse:
        version = {"version": settings.SPECTACULAR_SETTINGS["VERSION"]}
        build = InfoMetricFamily("elevenlabs_agent_build", "The release that runs.", version)
        text = metrics().exposition([build, *_of_redis()])
        return HttpResponse(text, content_type=CONTENT_TYPE)


def _of_redis() -> Iterable[Metric]:
    up = GaugeMetricFamily("agent_redis_up", "1 where Redis is there, 0 in an outage.")
    problems = GaugeMetricFamily(
        "agent_redis_problem", "1 for each problem that /health/ready names.", labels=["code"]
    )
    evicted = CounterMetricFamily(
        "agent_redis_evicted_keys", "Keys that Redis removed because its memory was full."
    )
    is_up = True
    try:
        count = count_evicted_keys(store())
        if count is not None:
            evicted.add_metric([], count)
        for problem in readiness().problems():
            problems.add_metric([problem.code], 1)
    except StoreUnavailableError:
        is_up = False
    up.add_metric([], is_up)
    return up, problems, evicted
