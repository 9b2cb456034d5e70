"""What the agents of the soak are told and asked."""

from __future__ import annotations

from covey import Request, message

__all__ = ["Breed", "Fail", "Flood", "Refuse", "Slow", "Unknown", "Work"]


@message
class Work(Request[int]):
    """Answered with the number plus one."""

    number: int


@message
class Slow(Request[int]):
    """As `Work`, after a while."""

    number: int


@message
class Fail:
    """Makes the handler raise."""


@message
class Refuse:
    """Makes the handler refuse it."""


@message
class Unknown:
    """No agent handles it."""


@message
class Breed(Request[int]):
    """Have children, use them and let them go; answered with the sum of what they said."""

    name: str
    count: int


@message
class Flood:
    """Tell each of the narrow agents more than it has room for."""

    count: int
