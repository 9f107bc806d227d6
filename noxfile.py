"""What CI runs beside `make test`: other Pythons, other distributions of ROS 2.

    nox -s unit                 the suite without ROS 2, on the oldest and the newest Python
    nox -s ros                  the tests on real DDS, on the wheels of Kilted and of Jazzy
    nox -s docs                 the site, without a warning

Arguments after -- go to pytest: nox -s unit-3.10 -- test/sensing. `--light` before them leaves
PyTorch out: what needs it is skipped, and says so.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["unit", "ros"]

PYTHONS = ["3.10", "3.13"]
"""The oldest and the newest that are supported."""

MESSAGES = ("sensor-msgs", "std-msgs", "diagnostic-msgs", "std-srvs")
DISTRIBUTIONS = {
    # What setup.py pins as the extra [ros].
    "kilted": ["ros-rclpy[fastrtps]==9.1.2", *(f"ros-{name}==5.5.1" for name in MESSAGES)],
    "jazzy": ["ros-rclpy[fastrtps]==7.1.6", *(f"ros-{name}==5.3.6" for name in MESSAGES)],
}
"""The wheels of each distribution that has such. Humble and Lyrical run in containers (.github)."""

LIGHT = "--light"

OF_NO_OTHER_WHEELS = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "", "LD_LIBRARY_PATH": ""}
"""A Python with ROS 2 as wheels sets these for all that it starts, nox included: the wheels of
another environment would look for their libraries there."""


@nox.session(python=PYTHONS)
def unit(session: nox.Session) -> None:
    """Run everything that needs no ROS 2."""
    install(session, *_project(session))
    if LIGHT not in session.posargs:
        session.install("--no-deps", "--no-build-isolation", "--editable", "training")
    pytest(session, "not ros and not openvino")


@nox.session(python="3.12")
@nox.parametrize("distribution", list(DISTRIBUTIONS), ids=list(DISTRIBUTIONS))
def ros(session: nox.Session, distribution: str) -> None:
    """Run the tests on real DDS on the wheels of one distribution."""
    install(session, *_project(session), *DISTRIBUTIONS[distribution])
    pytest(session, "ros")


@nox.session(python="3.12")
def docs(session: nox.Session) -> None:
    """Build the site; a link that leads nowhere is an error."""
    session.install("--requirement", "docs/requirements.txt")
    session.run("mkdocs", "build", "--strict", "--site-dir", f"{session.create_tmp()}/site")


def _project(session: nox.Session) -> list[str]:
    """Return the project with its extras; the models of many tests are written with onnx."""
    return [".[sim,dev]", "onnx"] if LIGHT in session.posargs else [".[sim,train,dev]"]


def install(session: nox.Session, *what: str) -> None:
    """Install, pinned as `make test` does it, but for ROS 2 itself."""
    pins = Path(session.create_tmp()) / "constraints.txt"
    lines = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("\n".join(line for line in lines if not line.startswith("ros-")))
    # The pinned setuptools first, and used for the build: later ones have no setup.py develop.
    session.install("--constraint", str(pins), "setuptools", "wheel")
    session.install("--constraint", str(pins), "--no-build-isolation", "--editable", *what)


def pytest(session: nox.Session, marker: str) -> None:
    """Run pytest on what was asked for; one file after another, on as few cores as CI has."""
    chosen = [argument for argument in session.posargs if argument != LIGHT]
    command = ["python", "-m", "pytest", "-m", marker, *(chosen or ["test"])]
    session.run(*command, env=OF_NO_OTHER_WHEELS)
