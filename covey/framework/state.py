"""The states of an agent, in the order in which it passes them; a failed one may start again."""

__all__ = ["FAILED", "NEW", "PASSIVE", "RUNNING", "STARTING", "STATES", "STOPPED", "STOPPING"]

PASSIVE, NEW, STARTING, RUNNING, FAILED, STOPPING, STOPPED = range(7)
STATES = ("passive", "new", "starting", "running", "restarting", "stopping", "stopped")
"""A passive agent has no instance: its next message makes one."""
