"""A simulated store and the nodes on it, which keep leases and claim partitions over a bad network.

The store has one linear history. Between it and a node are three queues: writes on their way, answers, and
what the watch tells. Each node acts by itself on each tick of true time, by a clock of its own; the tests
decide what is held up, lost, brought twice or out of order, who is paused, cut off or killed, and when the
store decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from covey.framework.cluster import lease as rules
from covey.framework.cluster.claims import Lease, Life, Owner, end_of, life_of, may_claim
from covey.framework.cluster.lease import Leases, OwnLease
from covey.framework.cluster.store import MISSING

TICK_S = 0.05
TIMEOUT_S = 0.3
"""After so long a node takes a write for lost, and writes again."""
PARTITIONS = ("p0", "p1")


class Stored(NamedTuple):
    """A record as it was written."""

    key: str
    value: Lease | Owner | None
    revision: int


@dataclass(eq=False)
class Op:
    """One request to the store: a write at a revision, a read, or a commit that a token fences."""

    what: str
    key: str
    sent_at: float
    process: str
    value: Lease | Owner | None = None
    revision: int = MISSING


class Answer(NamedTuple):
    """`record` is None where a write was refused, or where there is nothing to read."""

    op: Op
    record: Stored | None


@dataclass(eq=False)
class Node:
    """A node: what its process knows, and what is on its way to it and from it."""

    name: str
    rate: float
    offset: float
    world: World
    outbox: list[Op] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    news: list[Stored | None] = field(default_factory=list)
    """What its watch tells; None: all that there is has been told."""
    held: dict[str, float] = field(default_factory=dict)
    """Which of the three queues stand still, and until when."""
    is_alive: bool = True
    is_paused: bool = False
    is_connected: bool = False
    is_told: bool = False
    """Whether the store tells its watch of changes."""

    def __post_init__(self) -> None:
        self.start()

    # -- what happens to it ------------------------------------------------------------------------

    def start(self) -> None:
        """Its process is new and knows nothing."""
        self.is_alive, self.is_paused, self.is_connected = True, False, False
        self.leases = Leases()
        self.view: dict[str, Stored] = {}
        self.lives: dict[str, Life] = {}
        self.answers.clear()
        self.begin_life()
        self.connect()

    def begin_life(self) -> None:
        self.process = f"{self.name}/{self.world.number()}"
        self.life = 0
        self.own = OwnLease()
        self.renewed_at = float("-inf")
        self.tokens: dict[str, int] = {}
        self.giving_up: dict[str, int] = {}
        self.pending: dict[str, Op] = {}

    def connect(self, lag: int = 0) -> None:
        self.is_connected, self.connection = True, f"connection {self.world.number()}"
        self.own.connected(True, self.clock())
        self.watch(lag)

    def disconnect(self) -> None:
        """It learns of it before it does anything else, even where it is paused."""
        self.is_connected = False
        self.own.connected(False, self.clock())
        self.go_blind()
        self.world.gone.append((self.name, self.connection))

    def crash(self) -> None:
        self.is_alive = self.is_connected = False
        self.go_blind()
        self.world.gone.append((self.name, self.connection))

    def go_blind(self) -> None:
        self.is_told = False
        self.news.clear()
        self.leases.watching(False, self.clock())

    def watch(self, lag: int = 0) -> None:
        """Tell all records, as a server has them that is a few writes behind, and then the changes."""
        history = self.world.store.history
        seen = len(history) - lag if lag < len(history) else 0
        self.is_told = True
        self.news = [*{record.key: record for record in history[:seen]}.values(), None, *history[seen:]]

    # -- what it does ------------------------------------------------------------------------------

    def clock(self) -> float:
        return self.offset + self.rate * self.world.now

    @property
    def runs(self) -> bool:
        return self.is_alive and not self.is_paused

    def owns(self, partition: str) -> bool:
        """Whether it serves that partition now."""
        return self.runs and partition in self.tokens and self.own.is_valid(self.clock())

    def act(self) -> None:
        if not self.runs:
            return
        while self.answers and "answers" not in self.held:
            self.take_answer(0)
        while self.news and "news" not in self.held:
            self.take_news()
        if self.is_connected:
            now = self.clock()
            self.pending = {key: op for key, op in self.pending.items() if now - op.sent_at < TIMEOUT_S}
            self.keep_lease(now)
            for expired in self.leases.expired(now):
                self.end(expired.node, expired.revision)
            self.claim(now)

    def send(self, what: str, key: str, value: Lease | Owner | None = None, revision: int = MISSING) -> None:
        op = Op(what, key, self.clock(), self.process, value, revision)
        self.pending[key] = op
        self.outbox.append(op)

    def keep_lease(self, now: float) -> None:
        if self.name in self.pending or now - self.renewed_at < rules.RENEW_S:
            return
        self.renewed_at = now
        there = self.view.get(self.name)
        lease = Lease(self.process, self.connection, self.life)
        if self.life:
            self.send("write", self.name, lease, self.own.revision)
        elif there is None or lease_in(there).is_ended:
            self.send("write", self.name, lease, MISSING if there is None else there.revision)
        else:
            self.send("read", self.name)  # who asks for nothing does not learn that the store decides

    def end(self, node: str, revision: int) -> None:
        there = self.view[node]
        if node not in self.pending:
            self.send("write", node, end_of(lease_in(there), there.revision), revision)

    def claim(self, now: float) -> None:
        for partition in PARTITIONS:
            if partition in self.pending or partition in self.tokens:
                continue
            if partition in self.giving_up:  # until it is known to be stored
                self.send("write", partition, None, self.giving_up[partition])
                continue
            there = self.view.get(partition)
            if self.own.is_valid(now) and self.may_claim(None if there is None else owner_in(there)):
                revision = MISSING if there is None else there.revision
                self.send("write", partition, Owner(self.name, self.life), revision)

    def may_claim(self, owner: Owner | None) -> bool:
        return may_claim(owner, self.lives)

    def give_up(self, partition: str) -> None:
        if partition in self.tokens:
            self.giving_up[partition] = self.tokens.pop(partition)

    def commit(self, partition: str) -> None:
        """Write what its agents there have become; the token is the one by which it serves."""
        if self.owns(partition):
            owner, token = Owner(self.name, self.life), self.tokens[partition]
            self.outbox.append(Op("commit", partition, self.clock(), self.process, owner, token))

    def read(self, key: str) -> None:
        if self.runs and self.is_connected:
            self.outbox.append(Op("read", key, self.clock(), self.process))

    # -- what it learns ----------------------------------------------------------------------------

    def take_answer(self, at: int) -> None:
        op, record = self.answers.pop(at)
        self.leases.answered(self.clock())
        if op.process != self.process:
            return  # of an earlier life
        if self.pending.get(op.key) is op:
            del self.pending[op.key]
        if op.what == "commit":
            if record is None and self.tokens.get(op.key) == op.revision:
                del self.tokens[op.key]
            return
        if record is not None:
            self.learn(record)
            if op.what == "write" and op.key == self.name and not self.own.is_lost:
                self.own.renewed(record.revision, op.sent_at)
        elif op.what == "write" and op.key not in self.pending:
            self.send("read", op.key)

    def take_news(self) -> None:
        record = self.news.pop(0)
        if record is None:
            self.leases.watching(True, self.clock())
        else:
            self.learn(record)

    def learn(self, record: Stored) -> None:
        known = self.view.get(record.key)
        if known is not None and record.revision <= known.revision:
            return
        self.view[record.key] = record
        if record.key in PARTITIONS:
            self.giving_up.pop(record.key, None)
            self.tokens.pop(record.key, None)
            if self.life and record.value == Owner(self.name, self.life):
                self.tokens[record.key] = record.revision  # its claim was stored, acknowledged or not
        else:
            self.learn_lease(record.key, lease_in(record), record.revision)

    def learn_lease(self, node: str, lease: Lease, revision: int) -> None:
        self.lives[node] = life = life_of(lease, revision)
        if lease.process == self.process and not lease.is_ended:
            self.life = life.born
            self.own.adopt(revision)
        elif lease.process == self.process or (node == self.name and self.life):
            self.own.lost()
            self.begin_life()
            if self.is_connected:
                self.own.connected(True, self.clock())
        if lease.is_ended or lease.process == self.process:
            self.leases.forget(node)
        else:
            self.leases.saw(node, revision, self.clock(), lease.connection)


@dataclass
class Store:
    """Records with one linear history."""

    records: dict[str, Stored] = field(default_factory=dict)
    history: list[Stored] = field(default_factory=list)
    commits: list[tuple[Op, Stored | None]] = field(default_factory=list)
    """Those that were stored, with the ownership record of that moment."""
    decides: bool = True

    def revision_of(self, key: str) -> int:
        record = self.records.get(key)
        return MISSING if record is None else record.revision

    def do(self, op: Op) -> Stored | None:
        """The record that was written or read; None if it was refused."""
        if op.what == "read":
            return self.records.get(op.key)
        if op.revision != self.revision_of(op.key):
            return None
        if op.what == "commit":
            self.commits.append((op, self.records.get(op.key)))
            return self.records.get(op.key)
        record = Stored(op.key, op.value, len(self.history) + 1)
        self.records[op.key] = record
        self.history.append(record)
        return record


class World:
    """The store, the nodes and true time. `look` is called after whatever may have changed something."""

    def __init__(self, clocks: list[tuple[float, float]], look: Callable[[], None]) -> None:
        self.now = 0.0
        self.numbers = 0
        self.look = look
        self.store = Store()
        self.late: list[tuple[Node, Op]] = []
        """Requests that take another way, on which any later one may overtake them."""
        self.gone: list[tuple[str, str]] = []
        """Connections that the server has seen end, with the names of their nodes."""
        self.nodes = [Node(f"n{at}", rate, offset, self) for at, (rate, offset) in enumerate(clocks)]

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def tick(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.now += TICK_S
            for node in self.nodes:
                node.held = {queue: until for queue, until in node.held.items() if self.now < until}
            self.look()
            for node in self.nodes:
                node.act()
                self.look()
            for node in self.nodes:
                while node.outbox and "writes" not in node.held and self.store.decides:
                    self.store_one(node, 0)

    def store_one(self, node: Node, at: int) -> None:
        self.do(node, node.outbox.pop(at))

    def do(self, node: Node, op: Op) -> None:
        """A request has come to the store, which decides, answers and tells all watches."""
        before = len(self.store.history)
        node.answers.append(Answer(op, self.store.do(op)))
        for record in self.store.history[before:]:
            for other in self.nodes:
                if other.is_told:
                    other.news.append(record)
        self.look()

    def heal(self) -> None:
        """All is well from now on, but a node that crashed stays away unless all did."""
        self.store.decides = True
        for node in self.nodes:
            node.held.clear()
            node.is_paused = False
            if node.is_alive:
                if not node.is_connected:
                    node.connect()
                elif not node.is_told:
                    node.watch()
        if not any(node.is_alive for node in self.nodes):
            self.nodes[0].start()


def lease_in(record: Stored) -> Lease:
    assert isinstance(record.value, Lease)
    return record.value


def owner_in(record: Stored) -> Owner | None:
    assert not isinstance(record.value, Lease)
    return record.value
