"""`Request[R]`: a message that says what answers it, for type checkers."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Request"]

R_co = TypeVar("R_co", covariant=True)


class Request(Generic[R_co]):
    """Base of a message whose answer has a known type: `@message class Order(Request[Quote])`.

    `ref.ask(Order(...))` is then a `Reply[Quote]` to an editor and to mypy. It adds no field, and nothing
    is checked when the program runs.
    """

    __slots__ = ()
