"""`DecisionAgent`: the loop observe -> decide -> act -> update."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from covey.framework.agent import Agent
from covey.framework.errors import ConfigurationError
from covey.framework.handlers import every

__all__ = ["DecisionAgent"]


class DecisionAgent(Agent):
    """An agent that repeats observe, decide, act and update, each `def` or `async def`.

    `observe(stimulus)` returns an observation, or None for nothing to decide, which ends the cycle.
    `decide(observation)` returns a decision, or None for nothing to do, which ends it too.
    `act(decision)` carries it out and returns the outcome, `update(decision, outcome)` learns from it.

    A cycle is driven every `period_s` seconds (the stimulus is then None), or by a message: a `@handles`
    method that returns `await self.run_cycle(message)`. Within a trace each phase is a span of its own.
    One cycle runs at a time, unless `concurrency` is more than 1.
    """

    period_s: ClassVar[float | None] = None
    """Seconds from one cycle to the next; None: only messages drive it."""

    _tick: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.period_s is not None and not cls.period_s > 0:
            raise ConfigurationError(
                f"{cls.__name__}.period_s = {cls.period_s!r}: give seconds, more than 0, or None"
            )
        if "period_s" in cls.__dict__ and cls.period_s is not None:

            async def tick(self: DecisionAgent) -> None:
                await self.run_cycle(None)

            tick.__qualname__ = f"{cls.__qualname__}._tick"
            cls._tick = every(cls.period_s)(tick)
        elif "period_s" in cls.__dict__:
            cls._tick = None  # the base class had a period
        super().__init_subclass__(**kwargs)

    async def run_cycle(self, stimulus: Any = None) -> Any:
        """One pass of the loop; returns the outcome of `act`, or None when it ended before.

        An error in a phase is a failure of the agent, as in any handler.
        """
        observation = await self._phase("observe", self.observe, stimulus)
        if observation is None:
            return None
        decision = await self._phase("decide", self.decide, observation)
        if decision is None:
            return None
        outcome = await self._phase("act", self.act, decision)
        await self._phase("update", self.update, decision, outcome)
        return outcome

    async def _phase(self, name: str, method: Any, *arguments: Any) -> Any:
        with self.span(name):
            result = method(*arguments)
            return await result if inspect.isawaitable(result) else result

    def observe(self, stimulus: Any) -> Any:
        """What is the case? The stimulus itself unless overridden."""
        return stimulus

    def decide(self, observation: Any) -> Any:
        """What is to be done? Override it; may be `async def`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method decide(self, observation)")

    def act(self, decision: Any) -> Any:
        """Do it and return the outcome. Override it; may be `async def`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method act(self, decision)")

    def update(self, decision: Any, outcome: Any) -> Any:
        """Learn from the outcome; nothing unless overridden."""
