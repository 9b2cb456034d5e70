"""Versions of nats-server, and what they are good for. Pure."""

from __future__ import annotations

import re

__all__ = ["OLDEST", "TESTED", "has_traces", "parsed"]

TESTED = (2, 15, 1)
"""What Covey's own tests run on."""
OLDEST = (2, 11, 0)
"""The first with a time to live for each message, which leases need."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def parsed(version: str) -> tuple[int, int, int] | None:
    """The numbers of a version such as `2.12.0-RC.1`; None if it is none."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def has_traces(version: str) -> bool:
    """Whether it knows NATS ADR-41: traces of messages that are not delivered."""
    return (parsed(version) or (0, 0, 0)) >= (2, 11, 0)
