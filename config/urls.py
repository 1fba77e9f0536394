"""Every path of the service; what fails outside of a view is JSON too."""

from django.urls import path
from drf_spectacular.views import (
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
    SpectacularYAMLAPIView,
)

from agent_conversations.api import urls as api
from agent_conversations.api.negotiation import FirstRenderer
from agent_conversations.api.views.health import HealthView, LiveView, ReadyView
from agent_conversations.api.views.live import AsyncApiView
from agent_conversations.api.views.metrics import MetricsView
from agent_conversations.api.views.pages import IndexView, WatchListView, WatchView
from agent_conversations.api.views.webhooks import WebhookView

_document = {"content_negotiation_class": FirstRenderer}

urlpatterns = [
    *api.urlpatterns,
    path("health", HealthView.as_view(), name="health"),
    path("health/live", LiveView.as_view(), name="health-live"),
    path("health/ready", ReadyView.as_view(), name="health-ready"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("openapi.yaml", SpectacularYAMLAPIView.as_view(**_document), name="openapi-yaml"),
    path("openapi.json", SpectacularJSONAPIView.as_view(**_document), name="openapi-json"),
    path("asyncapi.yaml", AsyncApiView.as_view(), name="asyncapi-yaml"),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(url_name="openapi-json", **_document),
        name="docs",
    ),
    path("redoc", SpectacularRedocView.as_view(url_name="openapi-json", **_document), name="redoc"),
    path("webhooks/elevenlabs", WebhookView.as_view(), name="webhook"),
    path("watch", WatchListView.as_view(), name="watch-list"),
    path("watch/<conversation_id>", WatchView.as_view(), name="watch"),
    path("", IndexView.as_view(), name="index"),
]

handler400 = handler403 = handler404 = handler500 = "agent_conversations.api.exceptions.error_view"
