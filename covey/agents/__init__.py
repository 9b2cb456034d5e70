"""Kinds of agents to subclass."""

from covey.agents.decision_agent import DecisionAgent
from covey.framework.agent import Agent

__all__ = ["Agent", "DecisionAgent"]
