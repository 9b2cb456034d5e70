"""How many new traces are recorded: one ratio, decided once, where a trace begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from covey.framework.errors import ConfigurationError

__all__ = ["resolve_ratio"]

_logger = logging.getLogger("covey.observability")


def resolve_ratio(
    argument: float | None, default: float, environ: Mapping[str, str], *, read_otel_sampler: bool = True
) -> float:
    """The share of new traces to record, 0 to 1.

    The argument comes first, then `COVEY_TRACE_RATIO`, then `OTEL_TRACES_SAMPLER` with its `_ARG` (not
    where the user's own provider applies it already: `read_otel_sampler=False`), then the default. Every
    trace follows the decision of its parent, whichever sampler is named.

    Raises:
        ConfigurationError: a ratio of Covey's own is no number from 0 to 1. A bad `OTEL_*` value is
            logged and passed over, as OpenTelemetry does.
    """
    if argument is not None:
        return _checked(argument, "the trace ratio")
    if text := environ.get("COVEY_TRACE_RATIO", "").strip():
        return _checked(text, "COVEY_TRACE_RATIO")
    if sampler := environ.get("OTEL_TRACES_SAMPLER", "").strip().lower():
        if not read_otel_sampler:
            return 1.0
        ratio = _sampler_ratio(sampler, environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
        if ratio is not None:
            return ratio
    return _checked(default, "the default trace ratio")


def _checked(value: float | str, name: str) -> float:
    try:
        ratio = float(value)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ConfigurationError(
            f"{name} is {value!r}: use a number from 0 (trace nothing) to 1 (trace everything)"
        )
    return ratio


def _sampler_ratio(sampler: str, argument: str) -> float | None:
    name = sampler.removeprefix("parentbased_")
    if name == "always_on":
        return 1.0
    if name == "always_off":
        return 0.0
    if name != "traceidratio":
        _logger.warning("OTEL_TRACES_SAMPLER=%s is not known to Covey and is passed over", sampler)
        return None
    try:
        return _checked(argument, "OTEL_TRACES_SAMPLER_ARG")
    except ConfigurationError:
        _logger.warning("OTEL_TRACES_SAMPLER_ARG=%r is no ratio from 0 to 1: 1.0 is used", argument)
        return 1.0
