"""Clients find a node as soon as its program knows that it runs."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from covey import Swarm
from covey.framework.messages import codec
from covey.framework.proto.envelope_pb2 import Envelope
from covey.transports import EmbeddedServer
from examples.quotes import Order, Pricer


def test_a_node_that_hosts_agents_takes_requests_once_it_has_started() -> None:
    type_name, payload = codec.encode(Order(sku="tea", amount=1))
    request = Envelope(type=type_name, payload=payload).SerializeToString()
    with EmbeddedServer() as server:
        where = urlsplit(server.url)
        with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
            stream = connection.makefile("rwb", buffering=0)
            options = b'{"verbose": false, "headers": true, "no_responders": true}'
            stream.write(b"CONNECT %b\r\nSUB answers 1\r\nPING\r\n" % options)
            next(line for line in stream if line == b"PONG\r\n")
            for number in range(5):
                with Swarm.connect(server.url, name=f"shop-{number}", hosts=[Pricer], trace_ratio=0.0):
                    subject = b"covey.shop-%d.agent.pricer.eu" % number
                    stream.write(b"PUB %b answers %d\r\n%b\r\n" % (subject, len(request), request))
                    line = next(line for line in stream if b"MSG" in line)
                    assert line.startswith(b"MSG answers 1 "), "the server says that nobody is there"
