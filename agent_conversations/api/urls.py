"""The API's paths. With their prefix each: one resolver fewer to go through at every request."""

from collections.abc import Callable

from django.http.response import HttpResponseBase

from agent_conversations.api.middleware import API_PREFIX
from agent_conversations.api.routers import ContractRouter
from agent_conversations.api.views import AgentConversationViewSet, AgentSessionViewSet

router = ContractRouter()
router.register(API_PREFIX[1:], AgentConversationViewSet, basename="conversation")
router.register(API_PREFIX[1:], AgentSessionViewSet, basename="session")

urlpatterns = router.urls

FoundView = tuple[Callable[..., HttpResponseBase], dict[str, str]]
"""A view and its keyword arguments, as Django's resolver gives them."""

_PREFIX = API_PREFIX + "/"
_ID = "<str:conversation_id>"
_views = {f"/{pattern.pattern}".removeprefix(_PREFIX): pattern.callback for pattern in urlpatterns}
_of_all = {path: view for path, view in _views.items() if not path.startswith(_ID)}
_of_one = {path.removeprefix(_ID): view for path, view in _views.items() if path.startswith(_ID)}


def find_view(path: str) -> FoundView | None:
    """Return what Django's resolver finds at an API path, ``None`` where that is to be asked.

    The patterns are two sorts, and a dictionary of each answers at once what the resolver finds
    out by trying one pattern after the other.
    """
    if not path.startswith(_PREFIX):
        return None
    name = path[len(_PREFIX) :]
    if view := _of_all.get(name):
        return view, {}
    conversation_id, slash, word = name.partition("/")
    view = _of_one.get(slash + word)
    return (view, {"conversation_id": conversation_id}) if view and conversation_id else None
