"""What the node processes of these tests host: no supervisor of their own, unlike the conformance agents."""

from __future__ import annotations

from tests.conformance.far_agents import Far


class Moving(Far):
    """Knows where it runs, counts, and fails by order."""
