"""A pytest fixture for teams that write checks of their own.

In ``conftest.py``::

    pytest_plugins = ["anymodal_seg_ros.evaluation.pytest_scorecard"]

and in a test, run with ``pytest --scorecard=FOLDER``::

    def test_thermal_may_die(scorecard):
        assert scorecard.value("reaction_s", fault="off", sensor="thermal") < 0.2
"""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.evaluation.scorecard.scorecard import Scorecard, load_scorecard


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the scorecard."""
    parser.addoption(
        "--scorecard", type=Path, default=None, help="Folder that 'anymodal-seg evaluate' wrote."
    )


@pytest.fixture(scope="session")
def scorecard(request: pytest.FixtureRequest) -> Scorecard:
    """The scorecard that ``--scorecard`` names; tests are skipped without one."""
    folder = request.config.getoption("--scorecard")
    if folder is None:
        pytest.skip("no --scorecard was given")
    return load_scorecard(folder)
