"""Whether everything that the Dockerfiles install with pip exists for a Jetson, without one.

    python docker/resolve_aarch64.py

asks the package index for the wheels of each image: aarch64, its Python, its glibc. Nothing is
installed. Exit code 1 if something is missing; what was found is printed.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "docker" / "constraints-jetson.txt"


@dataclass(frozen=True, slots=True)
class Image:
    """What pip has to know of an image.

    Attributes:
        dockerfile: its file.
        python: its version of Python.
        glibc: the minor version of its C library, 2.N.
        extra: requirements beside those of the package.
    """

    dockerfile: str
    python: str
    glibc: int
    extra: tuple[str, ...]


IMAGES = (
    Image("jetpack6.Dockerfile", "3.10", 35, ("cuda-bindings==12.8.*",)),
    Image("jetpack7.Dockerfile", "3.12", 39, ("cuda-bindings==13.*",)),
)


def requirements() -> list[str]:
    """Return ``install_requires`` of setup.py, without running it."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            return [str(text) for text in ast.literal_eval(node.value)]
    raise SystemExit("setup.py has no install_requires")


def resolve(image: Image) -> dict[str, str]:
    """Return the versions that pip would install, by name.

    Raises:
        subprocess.CalledProcessError: a wheel is missing; its stderr says which.
    """
    digits = image.python.replace(".", "")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run"]
    command += ["--quiet", "--ignore-installed", "--only-binary=:all:", "--report=-"]
    command += [f"--python-version={image.python}", "--implementation=cp"]
    command += [f"--abi={abi}" for abi in (f"cp{digits}", "abi3", "none")]
    # pip wants every platform tag by name: a newer glibc runs what was built for an older one.
    command += [f"--platform=manylinux_2_{n}_aarch64" for n in range(17, image.glibc + 1)]
    command += ["--platform=manylinux2014_aarch64", f"--constraint={CONSTRAINTS}"]
    with tempfile.TemporaryDirectory() as target:
        done = subprocess.run(
            [*command, f"--target={target}", *requirements(), *image.extra],
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)["install"]
    return {item["metadata"]["name"]: item["metadata"]["version"] for item in found}


def main() -> int:
    """Resolve every image and return the exit code."""
    missing = 0
    for image in IMAGES:
        try:
            found = resolve(image)
        except subprocess.CalledProcessError as error:
            print(f"{image.dockerfile}: MISSING\n{error.stderr.strip()}")
            missing += 1
        else:
            listed = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
            print(f"{image.dockerfile}: Python {image.python}, aarch64: {listed}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
