"""What the browsable API shows of an action's operation.

Apart from ``operations``, which imports drf-spectacular: Django REST Framework loads the renderers,
and so this module, before drf-spectacular can be imported.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """Declared by ``@operation``."""

    example: dict[str, Any]
    """Fills in the form of the action's body."""
    fields: Collection[str]
    """Of that body."""
    irreversible: str
    """A sentence on what cannot be undone; empty where nothing is lost."""


def form_of(view: Any, method: str) -> Form | None:
    """Return the form of the action that ``method`` has on a view's path."""
    action = getattr(view, getattr(view, "action_map", {}).get(method.lower(), ""), None)
    return getattr(action, "form", None)
