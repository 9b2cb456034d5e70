"""What waits to be sent to one node: bounded in bytes, with whoever waits for room in it, in order.

Envelopes for an address whose mailbox over there is full wait apart from the others, in a `Lane`: they hold
up nobody but their own senders.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from covey.framework.backpressure import call_waiters
from covey.framework.cluster.lane import LANES_BYTES, RUN_BYTES, Item, Lane, Queue
from covey.framework.cluster.packing import ITEM_OVERHEAD_BYTES, Header, Run
from covey.framework.errors import CoveyError

if TYPE_CHECKING:
    from covey.framework.address import Address

__all__ = ["OUTBOUND_BYTES", "RUN_BYTES", "Item", "Outbox"]

OUTBOUND_BYTES = 8 * 1024 * 1024
"""With this much waiting nothing more is taken; the last envelope may stick out of it."""
EARLY_BYTES = 128 * 1024
"""With this much waiting the other end may as well begin with it, before the turn is over."""
LANES_KEPT = 16_384
"""Addresses that the other end may have paused at a time: some kilobytes each."""


class Outbox(Queue):
    """Taken from by the loop thread, put into by any. Nobody overtakes who waits for room.

    What it needs of its node, a `Peer` adds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiters: deque[Callable[[], None]] = deque()
        self.lanes: dict[Address, Lane] = {}
        """Those that are paused or waited for."""
        self._known: WeakValueDictionary[Address, Lane] = WeakValueDictionary()
        """One for each address as long as a sender holds it, which may be about to wait there."""
        self._due: dict[Lane, None] = {}
        """Those that are waited for, or were resumed: what `admit` has to look at."""
        self.lanes_bytes = 0
        self.closed = False
        self.armed = False
        """Whether a flush is due; set by whoever schedules it, cleared by the flush."""
        self._lock = threading.RLock()
        self.admitting = False

    def wake(self) -> None:
        """Ask for a flush; from any thread."""
        raise NotImplementedError

    def crowded(self) -> None:
        """So much waits that a flush should not wait for the end of the turn; from any thread."""
        raise NotImplementedError

    def refuse(self, item: Item, error: CoveyError) -> None:
        """An envelope that found no room and is not offered again."""
        raise NotImplementedError

    def too_late(self, item: Item) -> None:
        """An envelope came after the end."""
        raise NotImplementedError

    # -- from any thread ---------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether an envelope would be taken, or told that this is closed."""
        # What was paused after it had been taken counts for all, once that is too much.
        excess_bytes = max(0, self.lanes_bytes - LANES_BYTES)
        return self.closed or self.size_bytes + excess_bytes < OUTBOUND_BYTES

    @property
    def is_waited_for(self) -> bool:
        """Whether others wait for room: who comes now has to wait behind them."""
        # In this order: `admit` is marked before its first waiter leaves the queue.
        return bool(self.waiters) or self.admitting

    def offer_tell(self, header: Header, payload: bytes, lane: Lane | None = None) -> bool:
        """As `offer`, of a tell with nothing attached: the fast path."""
        is_crowded = False
        with self._lock:
            if (
                self.closed
                or self._put_bytes - self._taken_bytes >= OUTBOUND_BYTES
                or (self.lanes and (header.address in self.lanes or not self.has_room))
            ):
                run = Run(header, payload)
            else:
                run = None
                # `Queue.add_tell` written out: the call costs a third of it.
                size = len(payload) + ITEM_OVERHEAD_BYTES
                last = self._open.get(header.target)
                if last is not None and last.header is header and last.size_bytes + size <= self.run_bytes:
                    last.payloads.append(payload)
                    last.size_bytes += size
                else:
                    self._open[header.target] = last = Run(header, payload)
                    self.items.append(last)
                    is_crowded = self._put_bytes - self._taken_bytes >= EARLY_BYTES
                self._put_bytes += size
        if run is not None:
            return self.offer(run, lane)
        if not self.armed:
            self.wake()
        if is_crowded:
            self.crowded()
        return True

    def offer(self, item: Item, lane: Lane | None = None, *, forced: bool = False) -> bool:
        """Take an envelope; False when there is no room for it. What comes after the end is sent elsewhere.

        Args:
            lane: where its sender would wait: only its bound counts then.
            forced: take it however much waits.
        """
        with self._lock:
            taken = None if self.closed else self._put(item, lane, forced)
        if taken is None:
            self.too_late(item)
        elif taken:
            self.wake()
        return taken is not False

    def _put(self, item: Item, lane: Lane | None, forced: bool) -> bool:
        paused = self.lanes.get(item.header.address) if self.lanes else None
        queue: Queue = self
        if paused is not None and paused.paused:
            # Who came by another way than the lane does not wait there: it may stick out of the bound.
            if lane is not None and not forced and not paused.has_room:
                return False
            queue = paused
            self.lanes_bytes += item.size_bytes
        elif not forced and not self.has_room:
            return False
        if type(item) is Run and len(item.payloads) == 1:
            queue.add_tell(item.header, item.payloads[0])
        else:
            queue.add(item)
        return True

    def waits_in(self, lane: Lane) -> None:
        """A sender waits there: it may have been resumed between the sender's look and now."""
        with self._lock:
            self.lanes[lane.address] = lane
            self._due[lane] = None
        if not lane.paused or self.closed:
            self.wake()

    # -- on the loop thread ------------------------------------------------------------------------

    def take(self) -> Item:
        """The first of `items`."""
        with self._lock:  # a tell may be joining it
            return super().take()

    def put_back(self, items: Iterable[Item]) -> None:
        """Ahead of all others, in this order."""
        with self._lock:
            for item in reversed(list(items)):
                lane = self.lanes.get(item.header.address)
                queue = self if lane is None or not lane.paused else lane
                queue.add_first(item)
                self.lanes_bytes += 0 if queue is self else item.size_bytes

    def pause(self, *addresses: Address) -> None:
        """Send nothing more to these; what waits for them waits apart. All that waits is looked at once."""
        with self._lock:
            paused = {lane.address: lane for lane in map(self._pause, addresses) if lane is not None}
            for item in self.take_all() if paused else ():
                paused.get(item.header.address, self).add(item)
            self.lanes_bytes += sum(lane.size_bytes for lane in paused.values())

    def _pause(self, address: Address) -> Lane | None:
        lane = self.lanes.get(address)
        if lane is None:
            if len(self.lanes) >= LANES_KEPT:
                return None  # what is sent to it is parked over there, and in the end costs credits
            lane = self._known.get(address) or Lane(address, self)
            self.lanes[address] = self._known[address] = lane
        elif lane.paused:
            return None
        lane.paused = True
        if self.is_waited_for:
            self.waiters.append(lane.line_up())
        return lane

    def resume(self, address: Address) -> bool:
        """Send to an address again; whether it was paused."""
        with self._lock:
            lane = self.lanes.get(address)
            if lane is None or not lane.paused:
                return False
            lane.paused = False
            self._due[lane] = None
            self.lanes_bytes -= lane.size_bytes
            for item in lane.take_all():
                self.add(item)
            return True

    def resume_all(self) -> bool:
        """Send to all addresses again; whether any was paused."""
        paused = [address for address, lane in list(self.lanes.items()) if lane.paused]
        for address in paused:
            self.resume(address)
        return bool(paused)

    @property
    def messages_waiting(self) -> int:
        """Messages that wait for credits, for room over there, or for the next flush."""
        queues = (self, *self.lanes.values())
        return sum(item.count for queue in queues for item in tuple(queue.items))

    def admit(self) -> None:
        """Call those who wait while there is room, each at most once."""
        if self.waiters:
            self.admitting = True
            try:
                call_waiters(self.waiters, lambda: self.has_room)
            finally:
                self.admitting = False
        for lane in list(self._due) if self._due else ():
            call_waiters(lane.waiters, lambda lane=lane: lane.has_room)  # type: ignore[misc]
            with self._lock:
                if not lane.waiters:
                    del self._due[lane]
                    if not lane.paused:
                        del self.lanes[lane.address]

    def close(self) -> list[Item]:
        """Take nothing any more, and return what was not sent yet."""
        with self._lock:
            self.closed = True
            self.resume_all()
            return self.take_all()
