"""The beacons that are heard on a server: which nodes there are, and which swarms."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from covey.framework.errors import ConfigurationError
from covey.framework.proto.envelope_pb2 import Beacon, Hello
from covey.transports.diagnosis.facts import HeardNode
from covey.transports.subjects import parse_subject

__all__ = ["Ears"]


class Ears:
    """Takes what comes on the subjects of beacons; what is none is somebody else's affair."""

    def __init__(self) -> None:
        self._lives: dict[str, list[Hello]] = {}
        """By node, each time that another incarnation than the last one spoke."""
        self._swarms: set[str] = set()

    def beacon_of_any_swarm(self, subject: bytes, _reply: bytes, _data: bytes, _headers: bytes) -> None:
        try:
            self._swarms.add(parse_subject(subject.decode()).swarm)
        except (ConfigurationError, UnicodeDecodeError):
            pass

    def beacon(self, subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
        """A beacon of the swarm that is looked at."""
        try:
            swarm, _role, _name, source = parse_subject(subject.decode())
            hello = Beacon.FromString(data).hello
        except (ConfigurationError, UnicodeDecodeError, DecodeError):
            return
        if not source or hello.node != source or not hello.incarnation or hello.joining:
            return  # who joins may be refused yet
        self._swarms.add(swarm)
        if hello.leaving:
            self._lives.pop(source, None)
            return
        lives = self._lives.setdefault(source, [])
        if lives and lives[-1].incarnation == hello.incarnation:
            lives[-1] = hello
        else:
            lives.append(hello)

    @property
    def is_unsure(self) -> bool:
        """Whether a node has changed: it was restarted, or has a double, which more beacons will tell."""
        return any(len(lives) > 1 and not _has_double(lives) for lives in self._lives.values())

    def nodes(self) -> tuple[HeardNode, ...]:
        """Those of the swarm, by name."""
        return tuple(_heard(name, self._lives[name]) for name in sorted(self._lives))

    def swarms(self) -> tuple[str, ...]:
        """All that were heard, sorted."""
        return tuple(sorted(self._swarms))


def _heard(name: str, lives: list[Hello]) -> HeardNode:
    speakers = {hello.incarnation: hello.pid for hello in lives} if _has_double(lives) else {}
    return HeardNode(name, tuple(sorted(speakers.values())) or (lives[-1].pid,), lives[-1].agents)


def _has_double(lives: list[Hello]) -> bool:
    """Whether one spoke again after another: a restarted node's old incarnation never does."""
    return len({hello.incarnation for hello in lives}) < len(lives)
