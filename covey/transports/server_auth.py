"""The users of a swarm in a nats-server's configuration: each with the least that it needs. Pure text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from covey.transports.grants import Grant, answering_grants, client_grants, node_grants

__all__ = ["server_configuration"]

_HEAD = """\
# Written by `covey auth init`: who may do what on the subjects of the swarm {swarm}.
# A node receives what is meant for it, and sends in its own name only; a client asks agents and uses topics.
# Nobody else gets in.
# Of JetStream nodes may use one stream, which holds their leases: start the server with -js.
"""


def server_configuration(swarm: str, nodes: Mapping[str, str], clients: Mapping[str, str]) -> str:
    """The configuration's `authorization`, as text.

    Args:
        nodes: the public nkey of each node's user, by node name.
        clients: the same of programs that only talk to agents, by a name that stands in their inbox's prefix.

    Raises:
        ConfigurationError: the swarm or a node has a name that no subject can carry.
    """
    answers = answering_grants(clients)
    users = [_user("node", name, key, (*node_grants(swarm, name), *answers)) for name, key in nodes.items()]
    users += [_user("client", name, key, client_grants(swarm, name)) for name, key in clients.items()]
    return f"{_HEAD.format(swarm=_quoted(swarm))}authorization {{\n  users: [\n{''.join(users)}  ]\n}}\n"


def _user(role: str, name: str, key: str, grants: Sequence[Grant]) -> str:
    return (
        f"    {{  # {role} {_quoted(name)}\n      nkey: {key}\n      permissions: {{\n"
        f"        publish: [{_entries(grants, 'publish')}]\n"
        f"        subscribe: [{_entries(grants, 'subscribe')}]\n      }}\n    }}\n"
    )


def _entries(grants: Sequence[Grant], action: str) -> str:
    return ", ".join(_quoted(grant.entry) for grant in grants if grant.action == action)


def _quoted(text: str) -> str:
    return json.dumps(text)  # ASCII, without line breaks: it cannot end a comment or a string
