"""A swarm of this process alone for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from covey import Swarm


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    with Swarm.local(trace_ratio=0.0) as running:
        yield running
        running.stop(0.3)  # some tests leave a handler waiting
