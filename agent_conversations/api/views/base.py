"""What the viewsets have in common."""

from rest_framework.viewsets import ViewSet


class ApiViewSet(ViewSet):
    """Serves what lies under ``/{conversationId}``; without OPTIONS, which is CORS's own."""

    lookup_url_kwarg = "conversation_id"
    http_method_names = [name for name in ViewSet.http_method_names if name != "options"]
