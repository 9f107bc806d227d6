"""Where models/, config/ and launch/ are, however it was installed; and where caches may be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from anymodal_seg_ros.errors import ConfigError

PACKAGE = "anymodal_seg_ros"
OVERRIDE = "ANYMODAL_SEG_SHARE"
"""Environment variable that names the share folder outright."""


def share_dir() -> Path:
    """Return the folder that holds ``models/``, ``config/`` and ``launch/``.

    The module's own parents are searched before the ament index is asked: the index needs a
    sourced environment and is empty in a plain virtual environment.

    Raises:
        ConfigError: the folder cannot be found.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        if not Path(override).is_dir():
            raise ConfigError(f"{OVERRIDE} is {override!r}, not a folder: mend or unset it")
        return Path(override)
    for parent in Path(__file__).resolve().parents:
        if (parent / "package.xml").is_file() and (parent / "models").is_dir():
            return parent
        installed = parent / "share" / PACKAGE
        if (installed / "package.xml").is_file():
            return installed
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        installed = Path(prefix) / "share" / PACKAGE
        if (installed / "package.xml").is_file():
            return installed
    raise ConfigError(
        f"cannot find the share folder of {PACKAGE} (models, config, launch): "
        f"install the package, or point {OVERRIDE} at it"
    )


def models_dir() -> Path:
    """Return the folder of the bundled models."""
    return share_dir() / "models"


def config_dir() -> Path:
    """Return the folder of the parameter files and the DDS profile."""
    return share_dir() / "config"


def spelling_hint(path: str | os.PathLike[str]) -> str:
    """Say that a path is looked for in an encoding that names on disk are not in; else empty.

    Parameters are UTF-8, whatever the locale is: where that is another one, as ``LC_ALL=C`` without
    Python's UTF-8 mode, a folder with an umlaut in its name is there and cannot be found.
    """
    encoding = sys.getfilesystemencoding()
    if os.fspath(path).isascii() or encoding == "utf-8":
        return ""
    return f"; names are looked for as {encoding} here: set LANG=C.UTF-8"


def user_cache_dir() -> Path:
    """Return the folder of what can be made again: ``$XDG_CACHE_HOME/anymodal_seg_ros``.

    The standard of the desktops says that a relative path there is to be ignored.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()
    return base / PACKAGE
