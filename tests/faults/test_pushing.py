"""Tabs, a live process or Redis die while pushes are made."""

from collections.abc import Iterator

import pytest

from tests.faults.scenarios.pushing import FAULTS, pushes
from tests.faults.servers import Rig, rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def pushing() -> Iterator[Rig]:
    with rig(live=True) as running:
        yield running


@pytest.mark.parametrize("name", FAULTS)
def test_one_tab_has_each_push_and_its_state_is_true(pushing: Rig, name: str) -> None:
    result = pushes(pushing, FAULTS[name], seconds=1.0)

    assert result.faults == []
    assert result.found == result.acknowledged > 20
