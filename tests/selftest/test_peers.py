import numpy as np
import pytest
from scipy.stats import ttest_ind

from pipeline.selftest.peers import torch_ratio, welch_ratio

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(1.03, 0.05, 400), RNG.normal(1.0, 0.08, 300)


def test_the_ratio_of_means_excludes_one_where_welchs_test_is_significant() -> None:
    for shift in (0.0, 0.004, 0.012, 0.03):
        first = RNG.normal(1 + shift, 0.05, 400)
        found = welch_ratio(first, SECOND)
        p = ttest_ind(first, SECOND, equal_var=False).pvalue
        assert (not found["low"] <= 1 <= found["high"]) == (p < 0.05)


def test_the_ratio_of_means_is_that_of_the_means() -> None:
    assert welch_ratio(FIRST, SECOND)["value"] == pytest.approx(FIRST.mean() / SECOND.mean())


def test_torchs_error_is_that_of_its_significant_figures() -> None:
    from torch.utils.benchmark import Measurement
    from torch.utils.benchmark.utils.common import TaskSpec

    found = torch_ratio(FIRST, FIRST)
    error = np.log(found["high"] / found["value"]) / np.sqrt(2) / 1.96 * 1.645
    measurement = Measurement(1, FIRST.tolist(), TaskSpec("model()", "pass"))
    assert measurement.significant_figures == int(np.floor(np.log10(1 / error)))
    assert measurement.median == pytest.approx(float(np.median(FIRST)))
