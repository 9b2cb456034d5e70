"""Envelopes of other nodes that found their mailbox full, until there is room. On the loop thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.cluster.refusals import absent
from covey.framework.envelope import Envelope

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cell import Cell
    from covey.framework.cluster.peer import Peer
    from covey.framework.node import Node

__all__ = ["Parking"]


class _Call:
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function


class Parking:
    """Keeps order per address. Bounded by the credits of the peers, which stay taken meanwhile."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parked: dict[Address, deque[tuple[Any, int, Peer]]] = {}
        self.is_empty = True

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def holds(self, address: Address) -> bool:
        """Whether envelopes wait there: later ones have to wait behind them."""
        return address in self._parked

    def park(self, cell: Cell, item: Any, size_bytes: int, peer: Peer) -> None:
        """Keep an envelope until its mailbox has room; it gives its credit back then."""
        address = cell.address
        if address not in self._parked:
            self._parked[address] = deque()
            self.is_empty = False
            self._wait(cell, address)
        self._parked[address].append((item, size_bytes, peer))

    def park_call(self, address: Address, function: Callable[[], None], size_bytes: int, peer: Peer) -> None:
        """Call the function in its turn, behind the envelopes that wait at the address already."""
        self._parked[address].append((_Call(function), size_bytes, peer))

    def _wait(self, cell: Cell, address: Address) -> None:
        cell.wait_for_room(lambda: self._node.dispatcher.call(self._unpark, address))
        # Room may have come between the refused offer and this wait, and nobody would call.
        if len(cell.mail or ()) < cell.actor_class.mailbox.capacity:
            self._node.dispatcher.call(self._unpark, address)

    def _unpark(self, address: Address) -> None:
        parked = self._parked.get(address)
        if parked is None:
            return
        cell = self._node.directory.find(address, "")
        while parked:
            item, size_bytes, peer = parked[0]
            if type(item) is _Call:
                item.function()
            elif cell is None:
                self._lose(address, item)
            elif not cell.offer(item):
                self._wait(cell, address)
                return
            parked.popleft()
            peer.took(size_bytes)
        del self._parked[address]
        self.is_empty = not self._parked

    def _lose(self, address: Address, item: Any) -> None:
        if (
            type(item) is Envelope
            and item.reply is not None
            and not item.reply.fail(absent(self._node, address))
        ):
            return  # nobody waits for it any more
        self._node.dead_letter(address, item, "stopped", "it stopped before there was room")
