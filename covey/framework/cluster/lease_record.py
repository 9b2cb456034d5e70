"""The record of a lease: who holds it, or why it is over."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from covey.framework.address import escape_token, unescape_token
from covey.framework.errors import UndecodableError
from covey.framework.proto.envelope_pb2 import Lease

__all__ = ["LeaseRecord", "lease_key", "node_of_key"]

_PREFIX = "lease."


class LeaseRecord(NamedTuple):
    """What stands at `lease.<node>`."""

    incarnation: int
    """Which life of the node."""
    ended: str = ""
    """Why it is over; empty while it is held."""

    def pack(self) -> bytes:
        """The record's value."""
        return Lease(incarnation=self.incarnation, ended=self.ended).SerializeToString()

    @classmethod
    def unpack(cls, value: bytes) -> LeaseRecord:
        """Of a value.

        Raises:
            UndecodableError: it is none.
        """
        try:
            lease = Lease.FromString(value)
        except DecodeError as error:
            raise UndecodableError(f"{len(value)} bytes that are no lease: {error}") from error
        return cls(lease.incarnation, lease.ended)


def lease_key(node: str) -> str:
    """The key of a node's lease."""
    return _PREFIX + escape_token(node)


def node_of_key(key: str) -> str | None:
    """The node of a lease's key; None for any other key."""
    return unescape_token(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else None
