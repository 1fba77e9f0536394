"""What the browsable API shows of an action's operation."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Form:
    """Declared by ``@operation``."""

    example: dict[str, Any] = field(default_factory=dict)
    """Fills in the form of the action's body."""
    irreversible: str = ""
    """A sentence on what cannot be undone; empty where nothing is lost."""


def form_of(view: Any, method: str) -> Form | None:
    """Return the form of the action that ``method`` has on a view's path."""
    action = getattr(view, getattr(view, "action_map", {}).get(method.lower(), ""), None)
    return getattr(action, "form", None)
