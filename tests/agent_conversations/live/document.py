"""What ``asyncapi.yaml`` says of a frame."""

from typing import Any

import jsonschema_rs
import yaml

from config.environment import PROJECT_DIR

DOCUMENT = yaml.safe_load((PROJECT_DIR / "asyncapi.yaml").read_text())
_VALIDATORS = {
    message["name"]: jsonschema_rs.validator_for({**DOCUMENT, **message["payload"]})
    for message in DOCUMENT["components"]["messages"].values()
}


def validate(frame: dict[str, Any]) -> None:
    """Raise a ``ValidationError`` unless a frame is as the document has those of its type."""
    _VALIDATORS[frame["type"]].validate(frame)
