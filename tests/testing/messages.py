"""The messages of these tests."""

from __future__ import annotations

from covey import message


@message
class Lookup:
    sku: str


@message
class Level:
    amount: int


@message
class Levels:
    amounts: list[int]


@message
class Sleep:
    seconds: float


@message
class Fail:
    pass


@message
class Report:
    pass


@message
class Bounce:
    left: int
