"""A beacon that no node sends changes nobody's view of the swarm."""

from __future__ import annotations

import pytest

from covey.framework.cluster.beacon_limits import MAX_HOSTS, fault_of
from covey.framework.cluster.hello import pack_hello
from covey.framework.cluster.membership import NodeInfo
from covey.framework.cluster.registry import MAX_REGISTERED, parts_of
from covey.framework.proto.envelope_pb2 import Beacon, Hello, Registry, RegistryRequest, Schema, Schemas

OWN = NodeInfo("a", 7, frozenset({"pricer", "stock"}), pid=1)


def hello(**fields: object) -> Beacon:
    return Beacon(hello=Hello(**{"node": "a", "incarnation": 7, "wire_version": 1, **fields}))  # type: ignore[arg-type]


def registry(**fields: object) -> Beacon:
    return Beacon(registry=Registry(**{"node": "a", "incarnation": 7, "version": 1, "parts": 1, **fields}))  # type: ignore[arg-type]


def test_what_a_node_says_of_itself_is_believed() -> None:
    assert fault_of(Beacon(hello=pack_hello(OWN, joining=True))) == ""
    assert fault_of(Beacon(hello=pack_hello(OWN, leaving=True))) == ""
    for part in parts_of("a", 7, 3, {f"pricer/{number}" for number in range(500)}, 2000):
        assert fault_of(Beacon(registry=part)) == ""
    assert fault_of(Beacon(registry_request=RegistryRequest(node="b"))) == ""
    assert fault_of(Beacon(schemas=Schemas(schemas=[Schema(type="x.Y")]))) == ""


@pytest.mark.parametrize(
    ("beacon", "why"),
    [
        (Beacon(), "nothing"),
        (hello(wire_version=0), "version 0"),
        (hello(wire_version=2), "version 2"),
        (hello(incarnation=0), "incarnation"),
        (hello(hosts=["no kind"]), "kind"),
        (hello(hosts=[f"kind{number}" for number in range(MAX_HOSTS + 1)]), "1025 kinds"),
        (registry(incarnation=0), "incarnation"),
        (registry(version=0), "version"),
        (registry(parts=0), "part 0 of 0"),
        (registry(part=3, parts=3), "part 3 of 3"),
        (registry(parts=MAX_REGISTERED + 1), "100001"),
        (Beacon(schemas=Schemas(schemas=[Schema()] * 600)), "600 types"),
    ],
)
def test_a_beacon_that_no_node_sends_is_recognised(beacon: Beacon, why: str) -> None:
    assert why in fault_of(beacon)
