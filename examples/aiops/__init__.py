"""The demo swarm: agents that watch, repair and verify real processes."""
