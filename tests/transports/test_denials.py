"""What a server's permissions refuse comes as an error that names it, at once, and once."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from pathlib import Path

import pytest

from covey import Agent, PermissionDeniedError, Swarm, handles, message
from covey.transports import NatsTransport
from covey.transports.grants import node_grants
from tests.conformance.recorder import Recorder
from tests.transports.configured_server import configured_server


@message(name="denials.Order")
class Order:
    sku: str


class Pricer(Agent):
    @handles
    def quote(self, order: Order) -> Order:
        return order


class Patient(Agent):
    dispatcher = "thread"
    may_answer = threading.Event()

    @handles
    def quote(self, order: Order) -> Order:
        assert self.may_answer.wait(30)
        return order


def users(permissions_of_ann: str) -> str:
    return (
        f"authorization {{ users: [{{ user: ann, password: x, permissions: {{ {permissions_of_ann} }} }}, "
        "{ user: bob, password: x }] }"
    )


def test_an_ask_that_the_server_does_not_let_out_fails_at_once_with_the_subject(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = users('publish: { deny: ["covey.shop.node.Bob.*"] }')
    with (
        configured_server(tmp_path, config) as server,
        Swarm.connect(
            server.url(), user="bob", password="x", name="shop", node="Bob", hosts=[Pricer], trace_ratio=0.0
        ) as bob,
        Swarm.connect(
            server.url(), user="ann", password="x", name="shop", node="ann", trace_ratio=0.0
        ) as ann,
        caplog.at_level(logging.WARNING),
    ):
        assert ann.wait_for_nodes(2)
        for _ in range(3):
            with pytest.raises(PermissionDeniedError) as raised:
                ann.agent(Pricer, "eu").ask(Order(sku="tea"), timeout=60).get(timeout=30)
            assert raised.value.subject == "covey.shop.node.Bob.ann"
            assert raised.value.node == "Bob"
        assert bob.agents() == ()
    said = [record for record in caplog.records if "the server refuses" in record.getMessage()]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("denied", "named"),
    [
        ("covey.shop.cluster.>", r"covey\.shop\.cluster\.probe\.ann"),
        ("$JS.API.STREAM.INFO.COVEY_shop", r"\$JS\.API\.STREAM\.INFO\.COVEY_shop"),
        ("$JS.API.STREAM.CREATE.COVEY_shop", r"\$JS\.API\.STREAM\.CREATE\.COVEY_shop"),
        (
            "$JS.API.DIRECT.GET.COVEY_shop.covey.shop.cluster.>",
            r"\$JS\.API\.DIRECT\.GET\.COVEY_shop\.covey\.shop\.cluster\.probe\.ann",
        ),
        (
            "$JS.API.CONSUMER.CREATE.COVEY_shop.*.covey.shop.cluster.>",
            r"\$JS\.API\.CONSUMER\.CREATE\.COVEY_shop\.[0-9a-f]+-1\.covey\.shop\.cluster\.>",
        ),
    ],
)
def test_a_node_that_lacks_what_a_lease_needs_does_not_start_and_names_the_subject(
    denied: str, named: str, tmp_path: Path
) -> None:
    assert denied in [grant.subject for grant in node_grants("shop", "ann")]
    config = f'jetstream {{ store_dir: "{tmp_path}/js" }}\n' + users(f'publish: {{ deny: ["{denied}"] }}')
    with configured_server(tmp_path, config) as server:
        swarm = Swarm.connect(server.url("ann:x"), name="shop", node="ann", trace_ratio=0.0)
        with pytest.raises(PermissionDeniedError) as raised:
            swarm.start()
        assert re.fullmatch(named, raised.value.subject)
        assert f"the server refuses {raised.value.subject}" in str(raised.value)
        with Swarm.connect(server.url("bob:x"), name="shop", node="ann", trace_ratio=0.0) as bob:
            assert bob._running is not None
            assert bob._running.tenancy.has_leases


def test_an_ask_to_another_node_goes_on_while_one_is_out_of_reach(tmp_path: Path) -> None:
    config = users('publish: { deny: ["covey.shop.node.n1.*"] }')
    with configured_server(tmp_path, config) as server:
        bob, ann = server.url("bob:x"), server.url("ann:x")
        with (
            Swarm.connect(bob, name="shop", node="n1", hosts=[Pricer], trace_ratio=0.0),
            Swarm.connect(bob, name="shop", node="n2", hosts=[Patient], trace_ratio=0.0),
            Swarm.connect(ann, name="shop", node="n3", trace_ratio=0.0) as swarm,
        ):
            assert swarm.wait_for_nodes(3)
            waiting = swarm.agent(Patient, "eu").ask(Order(sku="tea"), timeout=60)
            with pytest.raises(PermissionDeniedError):
                swarm.agent(Pricer, "eu").ask(Order(sku="tea"), timeout=60).get(timeout=30)
            assert not waiting.done()
            Patient.may_answer.set()
            assert waiting.get(timeout=30) == Order(sku="tea")


def test_a_node_that_may_not_hear_a_topic_says_so_and_comes_back_without_it(tmp_path: Path) -> None:
    config = users('subscribe: { deny: ["covey.shop.topic.secret"] }')

    async def main() -> None:
        transport, recorder = NatsTransport(server.url("ann:x")), Recorder()
        await transport.start("shop", "a", recorder)
        transport.subscribe("secret")
        transport.subscribe("prices.*")
        await recorder.until(lambda r: r.problems)
        (problem,) = recorder.problems
        assert isinstance(problem, PermissionDeniedError)
        assert (problem.subject, problem.node) == ("covey.shop.topic.secret", "")
        assert transport._client is not None
        transport._client._transport.write(b"SUB not..a..subject 99\r\n")  # the server ends the client for it
        await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
        transport.publish("prices.tea", b"x")
        await recorder.until(lambda r: r.publications)
        assert {str(problem) for problem in recorder.problems} == {str(problem)}
        await transport.close()

    with configured_server(tmp_path, config) as server:
        asyncio.run(asyncio.wait_for(main(), 30.0))


def test_the_first_refusal_is_what_a_node_does_not_start_with(tmp_path: Path) -> None:
    with (
        configured_server(tmp_path, users('subscribe: ["nothing"]')) as server,
        pytest.raises(PermissionDeniedError) as raised,
    ):
        Swarm.connect(server.url("ann:x"), name="shop", node="a", trace_ratio=0.0).start()
    assert raised.value.subject == "covey.shop.node.a.*"
    assert "subscribing to it is denied" in str(raised.value)
    assert "covey auth init" in str(raised.value)
