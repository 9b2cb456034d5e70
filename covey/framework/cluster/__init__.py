"""One node among others: who is there, where agents live, and what goes between nodes."""
