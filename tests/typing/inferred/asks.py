"""What is known of an answer, from the message that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, reveal_type

from covey import Agent, AgentRef, Reply, Request, Swarm, gather, handles, message


@message
class Quote:
    price: float


@message
class Order(Request[Quote]):
    sku: str
    amount: int = 1


@message
class Note:
    text: str


class Pricer(Agent):
    @handles
    def quote(self, order: Order) -> Quote:
        return Quote(price=order.amount * 2.0)


def asks_of_threads(ref: AgentRef) -> None:
    reveal_type(ref.ask(Order("tea")))  # R: Reply[Quote]
    reveal_type(ref.ask(Order("tea"), timeout=1.0).get())  # R: Quote
    reveal_type(ref.ask(Order("tea")).get(timeout=1.0).price)  # R: float
    reveal_type(ref.ask(Note("hello")))  # R: Reply[Any]
    reveal_type(ref.ask(("any", "thing")).get())  # R: Any
    reveal_type(ref.stop())  # R: Reply[None]
    reveal_type(ref.watch().get().reason)  # R: str
    reveal_type(ref.ask(Order("tea")).error())  # R: BaseException | None


async def asks_of_coroutines(ref: AgentRef) -> None:
    reveal_type(await ref.ask(Order("tea")))  # R: Quote
    reveal_type(await ref.ask(Note("hello")))  # R: Any
    reveal_type(await ref.tell(Order("tea")))  # R: None


async def many(ref: AgentRef, replies: Sequence[Reply[Quote]]) -> None:
    one, other = ref.ask(Order("tea")), ref.ask(Order("rice"))
    reveal_type(gather(one, other))  # R: Reply[list[Quote]]
    reveal_type(await gather(*replies))  # R: list[Quote]
    reveal_type(gather(one, other, return_errors=True).get())  # R: list[Quote | BaseException]
    reveal_type(gather(one, return_errors=False).get())  # R: list[Quote]
    reveal_type(await gather(ref.ask(Note("hello"))))  # R: list[Any]


def refs(swarm: Swarm, agent: Agent) -> None:
    reveal_type(swarm.agent(Pricer, "eu-1"))  # R: AgentRef
    reveal_type(swarm.agent("pricer", "eu-1"))  # R: AgentRef
    reveal_type(swarm.spawn(Pricer, "eu-1"))  # R: AgentRef
    reveal_type(agent.agent(Pricer, "eu-1").ask(Order("tea")).get())  # R: Quote
    reveal_type(agent.spawn(Pricer, "eu-1"))  # R: AgentRef


def mistakes(ref: AgentRef, swarm: Swarm, anything: Any) -> None:
    _wrong: int = ref.ask(Order("tea")).get()  # E: assignment
    ref.ask(Order("tea"), timeout="1")  # E: call-overload
    ref.aks(Order("tea"))  # E: attr-defined
    swarm.spawn(Quote, "eu-1")  # E: arg-type
    gather(Order("tea"))  # E: call-overload
