"""Which method gets which message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from covey import Agent, ConfigurationError, Swarm, UnhandledMessageError, every, handles, message, subscribes
from tests.framework.waiting import eventually


@message
class Order:
    sku: str


@message
class Price:
    amount: float


@dataclass
class Animal:
    name: str


class Dog(Animal):
    pass


class Puppy(Dog):
    pass


def test_annotations_written_as_text_route_messages(swarm: Swarm) -> None:
    class Shop(Agent):
        @handles
        def sell(self, order: Order) -> str:
            return f"sold {order.sku}"

    assert swarm.spawn(Shop, "a").ask(Order(sku="tea")).get() == "sold tea"


def test_types_local_to_a_function_route_messages(swarm: Swarm) -> None:
    class Local:
        pass

    class Taker(Agent):
        @handles
        def take(self, local: Local) -> str:
            return "local"

    assert swarm.spawn(Taker, "a").ask(Local()).get() == "local"


def test_a_type_defined_after_the_agent_is_found_at_the_first_spawn(swarm: Swarm) -> None:
    class Taker(Agent):
        @handles
        def take(self, later: Later) -> str:
            return "later"

    class Later:
        pass

    assert swarm.spawn(Taker, "a").ask(Later()).get() == "later"


def test_an_annotation_that_names_nothing_is_refused_at_spawn_by_name(swarm: Swarm) -> None:
    class Taker(Agent):
        @handles
        def take(self, thing: Nonexistent) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"Taker\.take: .*'Nonexistent'.*not defined"):
        swarm.spawn(Taker, "a")
    with pytest.raises(ConfigurationError, match="Nonexistent"):
        swarm.agent(Taker, "b")


def test_a_union_routes_each_of_its_types(swarm: Swarm) -> None:
    class Taker(Agent):
        @handles
        def take(self, what: Order | Price | None) -> str:
            return type(what).__name__

    taker = swarm.spawn(Taker, "a")
    assert [taker.ask(m).get() for m in (Order(sku="x"), Price(amount=1.0), None)] == [
        "Order",
        "Price",
        "NoneType",
    ]


def test_the_most_specific_of_several_matching_handlers_wins(swarm: Swarm) -> None:
    class Vet(Agent):
        @handles
        def animal(self, animal: Animal) -> str:
            return "animal"

        @handles
        def dog(self, dog: Dog) -> str:
            return "dog"

        @handles
        def anything(self, thing: Any) -> str:
            return "anything"

    vet = swarm.spawn(Vet, "a")
    assert [vet.ask(m).get() for m in (Puppy("p"), Animal("a"), 7)] == ["dog", "animal", "anything"]


def test_explicit_types_need_no_annotation(swarm: Swarm) -> None:
    class Taker(Agent):
        @handles(Order, Price)
        def take(self, what):  # type: ignore[no-untyped-def]
            return type(what).__name__

    assert swarm.spawn(Taker, "a").ask(Price(amount=1.0)).get() == "Price"


def test_two_handlers_of_one_type_are_refused_when_the_class_is_defined() -> None:
    with pytest.raises(ConfigurationError, match="first and second both handle Order"):

        class Both(Agent):
            @handles
            def first(self, order: Order) -> None: ...

            @handles
            def second(self, order: Order) -> None: ...


def test_an_override_without_a_decorator_stays_the_handler(swarm: Swarm) -> None:
    class Shop(Agent):
        @handles
        def sell(self, order: Order) -> str:
            return "base"

    class Corner(Shop):
        def sell(self, order):  # type: ignore[no-untyped-def]
            return "corner, after " + super().sell(order)

    assert swarm.spawn(Corner, "a").ask(Order(sku="x")).get() == "corner, after base"


@pytest.mark.parametrize(
    ("define", "sentence"),
    [
        (lambda: handles(lambda: None), "takes self and one message"),
        (lambda: handles(Order(sku="x")), "takes message types"),
        (lambda: handles(), "takes message types"),
        (lambda: every(0), "at least 0.001"),
        (lambda: every(True), "at least 0.001"),
        (lambda: every(1.0)(lambda self, other: None), "takes no parameter but self"),
    ],
)
def test_a_wrong_signature_gets_a_clear_error(define: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        define()


def test_a_parameter_without_annotation_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="annotate its parameter 'order'"):

        class Shop(Agent):
            @handles
            def sell(self, order): ...  # type: ignore[no-untyped-def]


def test_an_annotation_that_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no class"):

        class Shop(Agent):
            @handles
            def sell(self, orders: list[Order]) -> None: ...


def test_a_published_message_reaches_the_methods_whose_pattern_matches(swarm: Swarm) -> None:
    heard: list[tuple[str, float]] = []

    class Listener(Agent):
        @subscribes("prices.*")
        def on_price(self, price: Price) -> None:
            heard.append((self.key, price.amount))

        @subscribes("other.>")
        async def on_other(self, price: Price) -> None:
            heard.append(("other", price.amount))

    started: list[str] = []
    swarm.on_event(lambda event: started.append(getattr(event, "address", "")))
    swarm.spawn(Listener, "a")
    swarm.spawn(Listener, "b")
    eventually(lambda: {"listener/a", "listener/b"} <= set(started))
    swarm.publish("prices.tea", Price(amount=2.5))
    eventually(lambda: sorted(heard) == [("a", 2.5), ("b", 2.5)])
    swarm.publish("other.x.y", Price(amount=1.0))
    eventually(lambda: heard.count(("other", 1.0)) == 2)


def test_a_plain_wrapper_around_an_async_handler_is_awaited(swarm: Swarm) -> None:
    done: list[str] = []

    def logged(function: Any) -> Any:
        def wrapper(self: Any, order: Order) -> Any:
            return function(self, order)

        return wrapper

    class Shop(Agent):
        @handles(Order)
        @logged
        async def sell(self, order: Order) -> str:
            done.append(order.sku)
            return "sold"

    shop = swarm.spawn(Shop, "a")
    shop.tell(Order(sku="told"))
    assert shop.ask(Order(sku="asked")).get() == "sold"
    assert done == ["told", "asked"]


def test_a_message_that_nothing_handles_names_what_is_handled(swarm: Swarm) -> None:
    class Shop(Agent):
        @handles
        def sell(self, order: Order) -> None: ...

    shop = swarm.spawn(Shop, "a")
    with pytest.raises(
        UnhandledMessageError, match=r"shop/a has no handler for .*float \(it handles Order\)"
    ):
        shop.ask(2.5).get()
    shop.tell(3.5)
    eventually(lambda: swarm.dead_letters().counts == {"unhandled": 2})
