"""The agents and the node processes that they live on."""
