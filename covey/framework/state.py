"""The states of an agent, in the order in which it passes them; a failed one may start again."""

__all__ = ["FAILED", "NEW", "RUNNING", "STARTING", "STATES", "STOPPED", "STOPPING"]

NEW, STARTING, RUNNING, FAILED, STOPPING, STOPPED = range(6)
STATES = ("new", "starting", "running", "restarting", "stopping", "stopped")
