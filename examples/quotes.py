"""A shop to talk to from outside: with `covey send`, or from a program in any language.

    covey node examples.quotes --embedded --swarm shop

Its messages have names that do not change with where this module lies, such as `quotes.Order`.
"""

from __future__ import annotations

from covey import Agent, Reject, handles, message, subscribes

__all__ = ["Markup", "Order", "Price", "Pricer", "Quote"]


@message(name="quotes.Order")
class Order:
    """Asks what so much of something costs."""

    sku: str
    amount: int


@message(name="quotes.Quote")
class Quote:
    """What it costs, and who says so; also published on the topic `quotes.given`."""

    sku: str
    price: float
    seller: str


@message(name="quotes.Markup")
class Markup:
    """Sets what a pricer adds to the price: 0.2 is a fifth."""

    share: float


@message(name="quotes.Price")
class Price:
    """The new price of one piece; published on a topic such as `prices.tea`."""

    sku: str
    price: float


class Pricer(Agent):
    """Quotes orders, at the prices that it hears of; each key has its own markup."""

    def __init__(self) -> None:
        super().__init__()
        self.markup = 0.0
        self.prices = {"tea": 2.5, "milk": 1.0}

    @handles
    def quote(self, order: Order) -> Quote:
        if order.sku not in self.prices:
            raise Reject(f"there is no price for {order.sku!r}")
        price = self.prices[order.sku] * order.amount * (1 + self.markup)
        quote = Quote(sku=order.sku, price=price, seller=self.address)
        self.publish("quotes.given", quote)
        return quote

    @handles
    def set_markup(self, markup: Markup) -> None:
        self.markup = markup.share

    @subscribes("prices.*")
    def hear(self, price: Price) -> None:
        self.prices[price.sku] = price.price
