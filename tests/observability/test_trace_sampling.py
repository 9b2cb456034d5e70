import pytest

from covey.framework.errors import ConfigurationError
from covey.observability.sampling import resolve_ratio


@pytest.mark.parametrize(
    ("argument", "environ", "ratio"),
    [
        (0.3, {"COVEY_TRACE_RATIO": "0.5"}, 0.3),
        (None, {"COVEY_TRACE_RATIO": "0.5", "OTEL_TRACES_SAMPLER": "always_off"}, 0.5),
        (None, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, 1.0),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, 0.25),
        (None, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "much"}, 1.0),
        (None, {"OTEL_TRACES_SAMPLER": "jaeger_remote"}, 0.01),
        (None, {}, 0.01),
    ],
)
def test_the_first_source_that_names_a_ratio_wins(argument, environ, ratio) -> None:
    assert resolve_ratio(argument, 0.01, environ) == ratio


def test_a_provider_that_samples_by_itself_is_not_sampled_twice() -> None:
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    assert resolve_ratio(None, 0.01, environ, read_otel_sampler=False) == 1.0


@pytest.mark.parametrize("value", ["much", "-0.1", "1.5", "nan"])
def test_a_ratio_that_is_none_is_an_error_that_names_the_variable(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"COVEY_TRACE_RATIO is '{value}'"):
        resolve_ratio(None, 0.01, {"COVEY_TRACE_RATIO": value})
