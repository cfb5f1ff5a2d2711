"""How long things took, as a histogram that hours can be added up of: {step: how many}.

Steps are equal in the logarithm, so that a quantile is told to about 6 % of itself, whether it is of
milliseconds or of hours.
"""

from collections.abc import Mapping

STEPS_PER_DECADE = 20


def quantile(histogram: Mapping[str, int], share: float) -> float | None:
    """The milliseconds within which `share` of all were done; None when there are none."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, passed = share * total, 0
    steps = sorted((int(step), number) for step, number in histogram.items())
    for step, number in steps:
        if passed + number >= wanted:
            within = (wanted - passed) / number
            return float(10 ** ((step + within) / STEPS_PER_DECADE))
        passed += number
    return float(10 ** ((steps[-1][0] + 1) / STEPS_PER_DECADE))
