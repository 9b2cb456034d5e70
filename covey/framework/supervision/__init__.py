"""Supervisors: the spec, the restart rule, and what carries it out."""
