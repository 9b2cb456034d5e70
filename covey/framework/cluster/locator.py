"""Where agents live by the current view of the swarm: read from any thread, replaced on the loop thread."""

from __future__ import annotations

from collections.abc import Callable, Container

from covey.framework.address import Address
from covey.framework.cluster.placement import Placement

__all__ = ["RESERVED", "Locator"]

LOCATED_KEPT = 65_536
RESERVED = "?"
"""Before an address: a supervisor of that node has a child there that is, or will be, on another node."""


class Locator:
    """Registered addresses go ahead of placement, and this node's own ahead of the others'.

    The views of the others are immutable: whoever reads needs no lock. The own addresses change in place:
    `forget` what was located after that.
    """

    def __init__(self, placement: Placement, own_name: str, own: Container[str]) -> None:
        self.placement = placement
        self._own_name = own_name
        self._own = own
        self.home_of: Callable[[str], str | None] = lambda _address: None
        """Where a child of this node's supervisors lives now, if that is another node."""
        self._registered_on: dict[str, str] = {}
        """Which other node supervises an agent at an address."""
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
        owner = self._supervisor_of(text) or self.placement.owner(address.kind, text)
        if len(located) >= LOCATED_KEPT:
            located.clear()
        located[address] = owner
        return owner

    def registered_on(self, address: Address) -> str | None:
        """The node that supervises an agent at this address, if any does."""
        return self._supervisor_of(str(address))

    def _supervisor_of(self, text: str) -> str | None:
        if text in self._own:
            return self._own_name
        found = self._registered_on.get(text)
        if found is not None:
            return found
        # Where it will live is known to its supervisor's node alone.
        reserved = RESERVED + text
        if reserved in self._own:
            return self.home_of(text) or self._own_name
        return self._registered_on.get(reserved)

    def update(self, placement: Placement, registered_on: dict[str, str] | None = None) -> None:
        """From now on agents live by this view."""
        self.placement = placement
        if registered_on is not None:
            self._registered_on = registered_on
        self.forget()

    def forget(self) -> None:
        """The own addresses have changed: look again for each; from any thread."""
        self._located = {}
