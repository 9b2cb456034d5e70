"""Messages of other nodes that found their mailbox full, until there is room. On the loop thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covey.framework.cluster.packing import ITEM_OVERHEAD_BYTES
from covey.framework.cluster.refusals import absent
from covey.framework.envelope import Envelope

if TYPE_CHECKING:
    from covey.framework.address import Address
    from covey.framework.cell import Cell
    from covey.framework.cluster.peer import Peer
    from covey.framework.node import Node

__all__ = ["PARKED_BYTES", "Parking"]

PARKED_BYTES = 16 * 1024 * 1024
"""Of one node: while no more is parked, it gives its credits back as if it were in a mailbox."""
MOST_PARKED_BYTES = 256 * 1024 * 1024
"""Of one node, which has sent on without credits: what comes then finds no room."""


class _Call:
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function


class Parking:
    """Keeps order per address, and has the senders' nodes send nothing more to it until there is room.

    What is parked holds up nobody else: it gives its credits back, up to a bound that only a peer meets
    which sends on all the same.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parked: dict[Address, deque[tuple[Any, int, Peer, bool]]] = {}
        self._bytes: dict[str, int] = {}
        """By peer, with what each message takes beside its payload."""
        self._told: dict[Address, dict[str, Peer]] = {}
        """Who was told to pause."""
        self.is_empty = True

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def holds(self, address: Address) -> bool:
        """Whether messages wait there: later ones have to wait behind them."""
        return address in self._parked

    def park(self, cell: Cell, item: Any, size_bytes: int, peer: Peer) -> int:
        """Keep a message until its mailbox has room; returns for how many bytes there is no credit yet."""
        address = cell.address
        if self._bytes.get(peer.name, 0) > MOST_PARKED_BYTES:
            cell.refuse(item, cell.full_error())
            return 0
        if address not in self._parked:
            self._parked[address] = deque()
            self.is_empty = False
            self._wait(cell, address)
        return self._keep(address, item, size_bytes, peer)

    def park_call(self, address: Address, function: Callable[[], None], size_bytes: int, peer: Peer) -> int:
        """Call the function in its turn, behind the messages that wait at the address already."""
        return self._keep(address, _Call(function), size_bytes, peer)

    def _keep(self, address: Address, item: Any, size_bytes: int, peer: Peer) -> int:
        held = self._bytes.get(peer.name, 0) + size_bytes + ITEM_OVERHEAD_BYTES
        self._bytes[peer.name] = held
        is_credited = held <= PARKED_BYTES
        self._parked[address].append((item, size_bytes, peer, is_credited))
        self._told.setdefault(address, {})[peer.name] = peer
        peer.tell_of(str(address), is_paused=True)
        return 0 if is_credited else size_bytes

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
            item, size_bytes, peer, is_credited = parked[0]
            if type(item) is _Call:
                item.function()
            elif cell is None:
                self._lose(address, item)
            elif not cell.offer(item):
                self._wait(cell, address)
                return
            parked.popleft()
            self._bytes[peer.name] -= size_bytes + ITEM_OVERHEAD_BYTES
            if not is_credited:
                peer.took(size_bytes)
        del self._parked[address]
        self.is_empty = not self._parked
        for peer in self._told.pop(address, {}).values():
            peer.tell_of(str(address), is_paused=False)

    def _lose(self, address: Address, item: Any) -> None:
        if (
            type(item) is Envelope
            and item.reply is not None
            and not item.reply.fail(absent(self._node, address))
        ):
            return  # nobody waits for it any more
        self._node.dead_letter(address, item, "stopped", "it stopped before there was room")
