"""Where agents live by the current view of the swarm: read from any thread, replaced on the loop thread."""

from __future__ import annotations

from covey.framework.address import Address
from covey.framework.cluster.placement import Placement

__all__ = ["Locator"]

LOCATED_KEPT = 65_536


class Locator:
    """Registered addresses go ahead of placement. Its views are immutable: whoever reads needs no lock."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._registered_on: dict[str, str] = {}
        self._located: dict[Address, str | None] = {}

    def locate(self, address: Address) -> str | None:
        """Name of the node where an agent is supervised, else of the one that placement gives it to."""
        # The dict is taken before the look-up: when the placement changes in between, the old one is gone.
        located = self._located
        try:
            return located[address]
        except KeyError:
            pass
        text = str(address)
        owner = self._registered_on.get(text) or self.placement.owner(address.kind, text)
        if len(located) >= LOCATED_KEPT:
            located.clear()
        located[address] = owner
        return owner

    def registered_on(self, address: Address) -> str | None:
        """The node that supervises an agent at this address, if any does."""
        return self._registered_on.get(str(address)) if self._registered_on else None

    def update(self, placement: Placement, registered_on: dict[str, str] | None = None) -> None:
        """From now on agents live by this view."""
        self.placement = placement
        if registered_on is not None:
            self._registered_on = registered_on
        self._located = {}

    def register(self, addresses: frozenset[str], node: str) -> None:
        """These, and no others, are supervised on the node."""
        others = {a: on for a, on in self._registered_on.items() if on != node}
        self.update(self.placement, {**others, **dict.fromkeys(addresses, node)})
