"""A message is a dataclass to a type checker: its constructor is checked, with and without arguments."""

from __future__ import annotations

import dataclasses
from typing import reveal_type

from covey import Request, field, message


@message
class Line:
    sku: str
    amount: int = 1


@message(name="shop.Basket", frozen=True)
class Basket(Request[float]):
    owner: str
    lines: list[Line] = field(number=3, default_factory=list)
    note: str | None = field(number=4, default=None)


reveal_type(Line("tea"))  # R: Line
reveal_type(Line)  # R: def (sku: str, amount: int =) -> Line
reveal_type(Basket("ann").lines)  # R: list[Line]
reveal_type(Basket("ann", [Line("tea")], note="quick").note)  # R: str | None
reveal_type(dataclasses.replace(Line("tea"), amount=2))  # R: Line

Line()  # E: call-arg
Line(7)  # E: arg-type
Line("tea", "two")  # E: arg-type
Line("tea", size=2)  # E: call-arg
Basket("ann", lines=["tea"])  # E: list-item
Basket("ann").owner = "bob"  # E: misc
