"""Envelopes in order, and a `Lane` of them for one address whose mailbox over there is full.

What waits in a lane holds up nobody but its own senders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from covey.framework.cluster.packing import ITEM_OVERHEAD_BYTES, Header, Outgoing, Run
from covey.framework.errors import CoveyError, MailboxFullError

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cluster.outbox import Outbox

__all__ = ["LANES_BYTES", "LANE_BYTES", "RUN_BYTES", "Item", "Lane", "Queue"]

Item = Run | Outgoing

LANE_BYTES = 256 * 1024
"""With this much waiting for one address that is paused nothing more is taken for it."""
LANES_BYTES = 64 * 1024 * 1024
"""And for all that are paused."""
RUN_BYTES = 64 * 1024
"""Of one run: a bound for what is handled at a time, and for frames."""


class Queue:
    """Items in the order of their coming; a tell joins the last item for its address if they share a header.

    So it may pass what waits for other addresses: order is promised per sender and receiver.
    """

    __slots__ = ("_open", "_put_bytes", "_taken_bytes", "items", "run_bytes")

    def __init__(self) -> None:
        self.run_bytes = RUN_BYTES
        self.items: deque[Item] = deque()
        # Two totals that only grow, and not a sum: the fast path writes one of them, once.
        self._put_bytes = self._taken_bytes = 0
        self._open: dict[str, Run] = {}
        """By address, in text: its last item, where that is a run which tells may join."""

    @property
    def size_bytes(self) -> int:
        """How much waits, more or less."""
        return self._put_bytes - self._taken_bytes

    def add(self, item: Item) -> None:
        self.items.append(item)
        self._put_bytes += item.size_bytes
        if type(item) is Run:
            self._open[item.header.target] = item
        else:
            self._open.pop(item.header.target, None)

    def add_tell(self, header: Header, payload: bytes) -> None:
        size = len(payload) + ITEM_OVERHEAD_BYTES
        run = self._open.get(header.target)
        if run is not None and run.header is header and run.size_bytes + size <= self.run_bytes:
            run.payloads.append(payload)
            run.size_bytes += size
        else:
            self._open[header.target] = run = Run(header, payload)
            self.items.append(run)
        self._put_bytes += size

    def add_first(self, item: Item) -> None:
        self.items.appendleft(item)
        self._put_bytes += item.size_bytes

    def take(self) -> Item:
        """The first item."""
        item = self.items.popleft()
        if self._open.get(item.header.target) is item:
            del self._open[item.header.target]
        self._taken_bytes += item.size_bytes
        return item

    def take_all(self) -> list[Item]:
        """Everything, in order."""
        items = list(self.items)
        self.items.clear()
        self._open.clear()
        self._taken_bytes = self._put_bytes
        return items


class Lane(Queue):
    """The way to one address: what waits for it alone."""

    __slots__ = ("__weakref__", "_behind", "_outbox", "address", "paused", "waiters")

    def __init__(self, address: Address, outbox: Outbox) -> None:
        super().__init__()
        self.run_bytes = outbox.run_bytes
        self.address = address
        self.paused = True
        self.waiters: deque[Callable[[], None]] = deque()
        self._behind = 0
        """How often it has to be called before it is its senders' turn."""
        self._outbox = outbox

    def line_up(self) -> Callable[[], None]:
        """Begin behind those who wait for the node already, for this address perhaps.

        Returns what to call when it is its turn.
        """
        self._behind += 1
        return self._next

    def _next(self) -> None:
        self._behind -= 1

    @property
    def is_waited_for(self) -> bool:
        """Whether senders wait for room: who comes now has to wait behind them."""
        return bool(self.waiters or self._behind)

    @property
    def has_room(self) -> bool:
        """Whether an envelope would be taken from one who waits here."""
        outbox = self._outbox
        if self._behind and not outbox.closed:
            return False
        if not self.paused or outbox.closed:
            return outbox.has_room
        return self.size_bytes < LANE_BYTES and outbox.lanes_bytes < LANES_BYTES

    def offer_tell(self, header: Header, payload: bytes) -> bool:
        """As `offer`, of a tell with nothing attached."""
        return self._outbox.offer_tell(header, payload, self)

    def offer(self, item: Item) -> bool:
        """Queue an envelope; False when too much waits already."""
        return self._outbox.offer(item, self)

    def wait_for_room(self, waiter: Callable[[], None]) -> None:
        """Call the waiter on the loop thread when there may be room, after those who wait already."""
        self.waiters.append(waiter)
        self._outbox.waits_in(self)

    def refuse(self, item: Item, error: CoveyError) -> None:
        """An envelope that found no room and is not offered again."""
        self._outbox.refuse(item, error)

    def full_error(self) -> CoveyError:
        return MailboxFullError(str(self.address), 0, self.size_bytes)
