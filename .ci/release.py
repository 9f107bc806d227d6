"""Build what is released, twice, and say that both are the same; and what it is made of.

    python .ci/release.py dist

Writes the sdist, the wheel, their hashes (``SHA256SUMS``) and, where cyclonedx-bom is installed,
``sbom.cdx.json``. The time in the archives is that of the last commit (``SOURCE_DATE_EPOCH``), so
that anybody can build the same bytes with the pinned setuptools from the same commit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys; from setuptools import build_meta as b; b.build_{0}(sys.argv[1])"


def epoch() -> int:
    """Return the time of the last commit, in s."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    shown = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(shown, check=True, capture_output=True, text=True).stdout)


def checkout(folder: Path) -> Path:
    """Copy what git knows of, and nothing else."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(0o644)
    return folder


def build(out: Path, time_s: int) -> list[Path]:
    """Build sdist and wheel from a fresh copy, and return them."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time_s), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as scratch:
        for what in ("sdist", "wheel"):
            source = checkout(Path(scratch) / what)
            command = [sys.executable, "-c", BUILD.format(what), str(out)]
            subprocess.run(command, cwd=source, env=environment, check=True, stdout=sys.stderr)
    for archive in out.glob("*.tar.gz"):
        settle(archive, time_s)
    return sorted(out.iterdir())


def settle(archive: Path, time_s: int) -> None:
    """Pack an sdist anew: setuptools writes the time of the build, and who built it, into it."""
    packed = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid = time_s, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    archive.write_bytes(gzip.compress(packed.getvalue(), mtime=time_s))


def digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bill_of_materials(out: Path) -> None:
    """Write what the pinned environment consists of, if the tool for it is there."""
    tool = shutil.which("cyclonedx-py")
    if tool is None:
        print("no SBOM: pip install cyclonedx-bom==7.5.0", file=sys.stderr)
        return
    file = str(out / "sbom.cdx.json")
    command = [tool, "requirements", str(ROOT / "constraints.txt"), "--output-reproducible"]
    subprocess.run([*command, "--output-file", file], check=True)


def main() -> int:
    """Build twice; 1 if the bytes differ."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        print(f"{out} is not empty: name another folder", file=sys.stderr)
        return 1
    time_s = epoch()
    with tempfile.TemporaryDirectory() as again:
        first = {path.name: digest(path) for path in build(out, time_s)}
        second = {path.name: digest(path) for path in build(Path(again), time_s)}
    if first != second:
        print(f"two builds differ: {first} and {second}", file=sys.stderr)
        return 1
    sums = "".join(f"{value}  {name}\n" for name, value in first.items())
    (out / "SHA256SUMS").write_text(sums, encoding="ascii")
    bill_of_materials(out)
    print(sums, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
