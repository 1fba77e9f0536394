"""The rigs of the short runs, one of each kind for each worker of the test run."""

from collections.abc import Iterator

import pytest

from tests.faults.servers import Rig, rig


@pytest.fixture(scope="session")
def direct() -> Iterator[Rig]:
    """The service on Redis."""
    with rig() as running:
        yield running


@pytest.fixture(scope="session")
def relayed() -> Iterator[Rig]:
    """The service on Redis, with a relay between them."""
    with rig(relayed=True) as running:
        yield running
