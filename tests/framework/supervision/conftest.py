"""What happened on the swarm of a test."""

from __future__ import annotations

from typing import Any

import pytest

from covey import Swarm


@pytest.fixture
def events(swarm: Swarm) -> list[Any]:
    """All events of the swarm, in their order."""
    seen: list[Any] = []
    swarm.on_event(seen.append)
    return seen
