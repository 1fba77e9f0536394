"""What came of a scenario."""

from collections.abc import Callable
from dataclasses import dataclass, field

RESPONSE_SECONDS = 2.5
"""Every response comes within this time, in whatever state Redis is."""

RECOVERY_SECONDS = 1.0
"""Once Redis is back, requests succeed within this time."""

Advance = Callable[[], None]
"""Called after each repeat, for a progress bar."""


def ignore() -> None:
    """Stand in for a progress bar."""


@dataclass
class Result:
    """One row of the table. What is counted is requests, unless the fault's text says otherwise.

    ``acknowledged`` are those whose response reported success; of these, ``found`` are stored in
    Redis afterwards, ``lost`` are not, ``doubled`` are stored more than once. ``problems`` are
    responses and states that the contract does not allow, one sentence each.
    """

    fault: str
    caused_by: str
    repeats: int = 0
    attempted: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    lost_ids: set[str] = field(default_factory=set)
    """Of messages, where they are told apart."""
    slowest_seconds: float = 0.0
    promised_seconds: float | None = RESPONSE_SECONDS
    """``None``: nothing is promised, because the process that would respond was killed."""
    problems: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """Further measurements of this scenario, in seconds unless the name says otherwise."""

    @property
    def faults(self) -> list[str]:
        """Everything that broke a promise; empty if all were kept."""
        found = list(self.problems)
        if self.lost:
            found.append(f"{self.lost} lost")
        if self.doubled:
            found.append(f"{self.doubled} doubled")
        if self.promised_seconds is not None and self.slowest_seconds > self.promised_seconds:
            found.append(f"a response took {self.slowest_seconds:.2f} s")
        return found
