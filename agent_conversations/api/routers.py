"""The contract's paths: no trailing slash, one word an action."""

from rest_framework.routers import Route, SimpleRouter


def _route(url: str, name: str, title: str, **actions: str) -> Route:
    return Route(
        url=url, mapping=actions, name=name, detail="{lookup}" in url, initkwargs={"name": title}
    )


class ContractRouter(SimpleRouter):
    """Gives every registered viewset those of the contract's routes that it has an action for."""

    routes = [
        _route("{prefix}/list", "agent-conversations", "Agent conversations", get="list"),
        _route("{prefix}/new", "new-agent-conversation", "New agent conversation", post="create"),
        _route(
            "{prefix}/{lookup}",
            "agent-conversation",
            "Agent conversation",
            get="retrieve",
            patch="partial_update",
            delete="destroy",
        ),
        _route("{prefix}/{lookup}/message", "new-agent-message", "New message", post="add_message"),
        _route("{prefix}/{lookup}/messages", "agent-messages", "Messages", get="list_messages"),
        _route(
            "{prefix}/{lookup}/session",
            "agent-session",
            "Agent session",
            post="register_session",
            get="retrieve_session",
            delete="destroy_session",
        ),
    ]

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)
