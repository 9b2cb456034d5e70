"""Each test of a transport runs on every bed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from tests.conformance.bed import Bed, ServerBed
from tests.conformance.transports import BEDS


@pytest.fixture(scope="module", params=list(BEDS))
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with BEDS[request.param]() as bed:
        yield bed


@pytest.fixture
def server_bed(bed: Bed) -> ServerBed:
    if not bed.has_server:
        pytest.skip("this transport has no server to lose")
    return cast(ServerBed, bed)


@pytest.fixture
def telling_bed(bed: Bed) -> Bed:
    if not bed.tells_of_undelivered:
        pytest.skip("this transport cannot tell that nobody listens")
    return bed
