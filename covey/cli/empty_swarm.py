"""What to say where a swarm has no nodes: which swarms have some."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covey.cli.nats_options import NatsServer
    from covey.framework.errors import ConfigurationError

__all__ = ["empty_swarm"]

MOST_NAMES = 10


def empty_swarm(server: NatsServer, swarm_name: str, what: str = "nodes") -> ConfigurationError:
    """The error, with the names of the swarms that are heard on the server within a moment.

    `what` names what the swarm lacks where it is heard itself.
    """
    from covey.framework.errors import ConfigurationError
    from covey.transports.heard_swarms import heard_swarms

    heard = heard_swarms(server.url, login=server.checked_login())
    start = f"start a node with `covey node MODULE --swarm {swarm_name}`"
    if swarm_name in heard:
        return ConfigurationError(f"swarm {swarm_name!r} on {server.shown} has no {what}: {start}")
    shown = ", ".join(heard[:MOST_NAMES])
    more = f" and {len(heard) - MOST_NAMES} more" if len(heard) > MOST_NAMES else ""
    advice = f"name a swarm that has some with --swarm ({shown}{more}), or {start}" if heard else start
    return ConfigurationError(f"swarm {swarm_name!r} has no nodes on {server.shown}: {advice}")
