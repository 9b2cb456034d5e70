"""The actor runtime and its pure rules."""
