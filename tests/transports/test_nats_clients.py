"""What clients of a NATS server can do to a node's transport beyond what every transport has to keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from covey.framework.address import Address
from covey.framework.errors import TransportError, UndecodableError
from covey.transports import EmbeddedServer, NatsTransport
from covey.transports.subjects import agent_subject, node_subject, topic_subject
from tests.conformance.recorder import Recorder

AGENT = agent_subject("shop", Address("pricer", "eu"))


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60.0))


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@asynccontextmanager
async def node_and_client(
    server: EmbeddedServer, recorder: Recorder
) -> AsyncIterator[tuple[NatsTransport, Client]]:
    """A node that serves, and a plain connection."""
    transport = NatsTransport(server.url)
    await transport.start("shop", "a", recorder)
    transport.serve()
    await transport.flush(5.0)
    client = await nats.connect(server.url)
    try:
        yield transport, client
    finally:
        await client.close()
        await transport.close()


def test_a_request_without_a_reply_subject_has_nobody_to_answer(server: EmbeddedServer) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (_, client):
            await client.publish(AGENT, b"tell")
            await recorder.until(lambda r: r.requests)
            assert (recorder.requests[0].data, recorder.requests[0].respond) == (b"tell", None)

    run(main())


@pytest.mark.parametrize(
    "reply", ["covey.shop.node.b.a", "covey.shop.beacon.a", "$SYS.x", "$JS.API.STREAM.PURGE.x"]
)
def test_a_node_answers_on_no_subject_that_is_for_nodes_or_the_server(
    server: EmbeddedServer, reply: str
) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (_, client):
            await client.publish(AGENT, b"ask", reply=reply)
            await recorder.until(lambda r: r.requests)
            assert recorder.requests[0].respond is None

    run(main())


def test_an_answer_that_is_too_large_is_told_of_and_the_next_one_arrives(server: EmbeddedServer) -> None:
    async def main() -> None:
        recorder = Recorder(lambda request: (bytes(int(request.data)), {"Covey-Type": "x.Y"}))
        async with node_and_client(server, recorder) as (transport, client):
            with pytest.raises(nats.errors.TimeoutError):
                await client.request(AGENT, b"%d" % (transport.max_frame_bytes + 1), timeout=0.3)
            (problem,) = recorder.problems
            assert isinstance(problem, TransportError)
            assert "the answer to a client is lost" in str(problem)
            assert len((await client.request(AGENT, b"1000", timeout=5)).data) == 1000

    run(main())


def test_only_the_server_can_say_that_nobody_listens(server: EmbeddedServer) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (transport, client):
            for number in (b"7", b"x", b"", b"99999999999999999999999999"):
                await client.publish(f"_INBOX_a.undelivered.b.{number.decode() or 'no'}", b"")
            await client.flush()
            transport.send("nobody", b"x", 8)
            await recorder.until(lambda r: r.undelivered)
            assert (recorder.undelivered, recorder.problems) == ([("nobody", 8)], [])

    run(main())


@pytest.mark.parametrize(
    "subject",
    [
        node_subject("shop", "a", "b") + "%2e",
        node_subject("shop", "a", "b").replace(".b", ".%zz"),
        AGENT + "%2f",
        AGENT.replace("pricer", "no kind"),
        topic_subject("shop", "news") + ".%4",
    ],
)
def test_a_subject_that_is_none_is_one_problem_and_nothing_else(server: EmbeddedServer, subject: str) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (transport, client):
            transport.subscribe(">")
            await transport.flush(5.0)
            await client.publish(subject.replace(" ", "%20"), b"?")
            await client.publish(node_subject("shop", "a", "b"), b"frame")
            await recorder.until(lambda r: r.frames)
            assert recorder.frames == [b"frame"]
            (problem,) = recorder.problems
            assert isinstance(problem, UndecodableError)
            assert (recorder.requests, recorder.publications) == ([], [])

    run(main())


def test_clients_in_a_group_share_its_publications_with_the_nodes(server: EmbeddedServer) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (transport, client):
            transport.subscribe("jobs.*", "workers")
            await transport.flush(5.0)
            theirs: list[bytes] = []

            async def take(message: Any) -> None:
                theirs.append(message.data)

            await client.subscribe(topic_subject("shop", "jobs.new"), queue="workers", cb=take)
            await client.flush()
            for number in range(200):
                transport.publish("jobs.new", b"%d" % number)
            async with asyncio.timeout(10):
                while len(theirs) + len(recorder.publications) < 200:
                    await asyncio.sleep(0.001)
            ours = [publication.data for publication in recorder.publications]
            assert sorted(theirs + ours) == sorted(b"%d" % number for number in range(200))
            assert ours
            assert theirs

    run(main())


def test_a_flush_that_was_too_late_leaves_a_node_that_hears(server: EmbeddedServer) -> None:
    async def main() -> None:
        recorder = Recorder()
        async with node_and_client(server, recorder) as (transport, client):
            with pytest.raises(TransportError, match="has not reached"):
                await transport.flush(1e-6)
            await client.publish(AGENT, b"tell")
            await recorder.until(lambda r: r.requests)
            await transport.flush(5.0)
            assert recorder.links == []

    run(main())
