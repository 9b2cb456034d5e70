"""A swarm of this process alone, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from covey import Swarm
from covey.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def swarm(clock: ManualClock) -> Iterator[Swarm]:
    with Swarm.local(clock=clock, trace_ratio=0.0, watchdog_s=0) as running:
        yield running
        running.stop(0.3)  # some tests leave a handler waiting
