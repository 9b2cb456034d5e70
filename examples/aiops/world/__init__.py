"""Outside the swarm: the services, what breaks them, and the witness that judges."""
