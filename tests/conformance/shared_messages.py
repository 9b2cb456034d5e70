"""The messages of the swarm's tests; both processes import them."""

from __future__ import annotations

from covey import message


@message
class Where:
    pass


@message
class Whereabouts:
    pid: int
    key: str
    sender: str


@message
class Add:
    number: int


@message
class ListNumbers:
    pass


@message
class Numbers:
    values: list[int]


@message
class Forget:
    pass


@message
class Crash:
    text: str


@message
class Refuse:
    text: str


@message
class Bulk:
    data: bytes


@message
class ReplyOfBytes:
    size: int


@message
class Hold:
    seconds: float


@message
class Call:
    kind: str
    key: str


@message
class TellDeadline:
    pass


@message
class Noted:
    topic: str
    text: str


@message
class Unknown:
    """No agent handles it."""
