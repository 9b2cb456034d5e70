"""How frames move between nodes: in one process, over NATS, and the private server for it."""

from covey.transports.embedded import EmbeddedServer
from covey.transports.jetstream import JetStreamStore
from covey.transports.memory import MemoryHub, MemoryTransport
from covey.transports.memory_store import MemoryShelf, MemoryStore
from covey.transports.nats import NatsTransport
from covey.transports.nats_login import NatsLogin
from covey.transports.server_binary import find_server_binary

__all__ = [
    "EmbeddedServer",
    "JetStreamStore",
    "MemoryHub",
    "MemoryShelf",
    "MemoryStore",
    "MemoryTransport",
    "NatsLogin",
    "NatsTransport",
    "find_server_binary",
]
