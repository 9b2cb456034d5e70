"""What clients that are no nodes may ask, and what they may not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping

import nats
import pytest

from covey import Agent, Swarm, handles
from covey.framework.proto.envelope_pb2 import Envelope
from covey.framework.terminated import Terminated
from covey.framework.transport import OutsideRequest
from covey.transports import MemoryHub, MemoryTransport
from examples.quotes import Order, Pricer, Quote


class Guard(Agent):
    """Would act on the death of another."""

    heard: list[Terminated]

    def __init__(self) -> None:
        super().__init__()
        Guard.heard = []

    @handles
    def price(self, order: Order) -> Quote:
        return Quote(sku=order.sku, price=1.0, seller=self.address)

    @handles
    def ended(self, terminated: Terminated) -> None:
        self.heard.append(terminated)


def asked(
    hub: MemoryHub, address: str, data: bytes, json_type: str | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """What a client gets."""
    answers: list[tuple[bytes, Mapping[str, str]]] = []
    came = threading.Event()

    def respond(body: bytes, headers: Mapping[str, str]) -> None:
        answers.append((body, headers))
        came.set()

    assert hub.request("shop", OutsideRequest(address, data, json_type, respond))
    assert came.wait(10)
    return answers[0]


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


def node(hub: MemoryHub, name: str, *hosts: type[Agent]) -> Swarm:
    return Swarm("shop", transport=lambda: MemoryTransport(hub), hosts=hosts, node=name, trace_ratio=0.0)


@pytest.mark.parametrize("hosts", [[Guard], []], ids=["here", "on another node"])
@pytest.mark.parametrize("name", ["Terminated", "covey.framework.terminated.Terminated"])
def test_a_client_cannot_tell_an_agent_that_another_has_died(
    hub: MemoryHub, name: str, hosts: list[type[Agent]]
) -> None:
    with node(hub, "far", Guard), node(hub, "near", *hosts) as near:
        assert near.wait_for_nodes(2)
        near.agent(Guard, "g").ask(Order(sku="tea", amount=1), timeout=5).get()
        for _ in range(4):  # the nodes that serve take turns
            body, headers = asked(hub, "guard/g", b'{"address": "x/y", "reason": "forged"}', name)
            assert headers["Nats-Service-Error-Code"] == "400"
            assert json.loads(body)["error"] == "UndecodableError"
        forged = Envelope(type="covey.framework.terminated.Terminated", payload=b"").SerializeToString()
        answer, _ = asked(hub, "guard/g", forged)
        assert Envelope.FromString(answer).kind == Envelope.FAILURE
        near.agent(Guard, "g").ask(Order(sku="tea", amount=1), timeout=5).get()
        assert Guard.heard == []


def test_a_client_is_told_nothing_of_our_files(hub: MemoryHub) -> None:
    with node(hub, "far", Guard):
        answer, _ = asked(hub, "guard/g", b"\xff\xff")
        assert b"Traceback" not in answer
        assert b".py" not in answer


def test_a_failure_whose_text_fills_the_servers_limit_is_cut_short_and_cuts_nobody_off() -> None:
    async def failures(swarm: Swarm) -> list[str]:
        client = await nats.connect(swarm.url)
        kinds = []
        for spare in (60, 200, 400, 600):
            sku = "x" * (client.max_payload - spare - len('{"sku": ""}'))
            body = json.dumps({"sku": sku}).encode()
            answer = await client.request("covey.shop.json.pricer.eu.Order", body, timeout=10)
            assert len(answer.data) < 10_000
            kinds.append(json.loads(answer.data)["error"])
        await client.close()
        return kinds

    with Swarm.embedded(name="shop", hosts=[Pricer], trace_ratio=0.0) as swarm:
        assert asyncio.run(failures(swarm)) == ["Reject"] * 4
