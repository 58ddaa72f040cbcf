"""What all tests share: threads, hypothesis, and real data where there are some."""

import os

# Workers of pytest-xdist share the cores: one thread each. This has to be said before torch starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import matplotlib
import pytest

from benchmarks import _data

matplotlib.use("Agg")

hypothesis.settings.register_profile("cmkdlearn", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("cmkdlearn")

NO_DATA = "needs the folder that CMKDLEARN_DATA names"


@pytest.fixture(scope="session")
def data_folder():
    """The folder with real data."""
    if "CMKDLEARN_DATA" not in os.environ:
        pytest.skip(NO_DATA)
    return _data.folder()


def pytest_collection_modifyitems(items):
    if "CMKDLEARN_DATA" not in os.environ:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=NO_DATA))
