"""`swarm_of`: several nodes of one swarm in the process of a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from covey.framework.errors import ConfigurationError, TransportError
from covey.swarm import Swarm
from covey.testing.faulty_transport import FaultyTransport
from covey.transports import MemoryHub, MemoryTransport

if TYPE_CHECKING:
    from covey.framework.agent import Agent
    from covey.framework.transport import Transport
    from covey.testing.faults import Faults
    from covey.testing.manual_clock import ManualClock

__all__ = ["swarm_of"]

JOIN_WITHIN_S = 10.0


@contextmanager
def swarm_of(
    count: int,
    *,
    hosts: Iterable[type[Agent]] | Mapping[str, Iterable[type[Agent]]] = (),
    clock: ManualClock | None = None,
    faults: Faults | None = None,
    **options: Any,
) -> Iterator[tuple[Swarm, ...]]:
    """Nodes `a`, `b`, ... of one swarm on the memory transport, once each sees all others.

    Args:
        count: how many, 1 to 26.
        hosts: the kinds that may be placed on every node, or a mapping from a node's name to its kinds.
        clock: the time of all nodes; real time without it.
        faults: what happens to the frames between them.
        options: of every `Swarm`, as for `Swarm.connect`; traces are off unless `trace_ratio` is given.

    Raises:
        SwarmFailedError: at the end, when a node's root supervisor gave up.
    """
    if not 1 <= count <= len(ascii_lowercase):
        raise ConfigurationError(f"swarm_of({count!r}): 1 to {len(ascii_lowercase)} nodes")
    hub = MemoryHub()
    options = {"trace_ratio": 0.0, **options}
    with ExitStack() as stack:
        swarms = []
        for name in ascii_lowercase[:count]:
            kinds = hosts.get(name, ()) if isinstance(hosts, Mapping) else hosts
            transport = partial(_transport, hub, faults)
            swarm = Swarm("test", transport=transport, hosts=tuple(kinds), node=name, clock=clock, **options)
            swarms.append(stack.enter_context(swarm))
        _join(swarms, clock)
        yield tuple(swarms)


def _transport(hub: MemoryHub, faults: Faults | None) -> Transport:
    transport = MemoryTransport(hub)
    return transport if faults is None else FaultyTransport(transport, faults)


def _join(swarms: list[Swarm], clock: ManualClock | None) -> None:
    def joined() -> bool:
        return all(len(swarm.nodes()) == len(swarms) for swarm in swarms)

    if clock is not None:
        clock.advance_until(joined, within_s=JOIN_WITHIN_S)
    else:
        for swarm in swarms:
            swarm.wait_for_nodes(len(swarms), JOIN_WITHIN_S)
    if not joined():
        seen = {swarm.node_name: [node.name for node in swarm.nodes()] for swarm in swarms}
        raise TransportError(f"the nodes do not see each other within {JOIN_WITHIN_S:g} s: {seen}")
