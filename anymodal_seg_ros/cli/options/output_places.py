"""Where a command writes to: made, and tried, before the work whose result it shall keep."""

from __future__ import annotations

import tempfile
from pathlib import Path

from anymodal_seg_ros.errors import ConfigError


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in.

    Raises:
        ConfigError: nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"nothing can be written into {folder} ({error.strerror}): choose another folder"
        ) from error


def make_place(*files: Path | None) -> None:
    """Make the folders of files that are to be written.

    Args:
        files: of which those that nobody asked for are None.

    Raises:
        ConfigError: nothing can be written there, or a folder has the name of the file.
    """
    for file in files:
        if file is not None:
            if file.is_dir():
                raise ConfigError(f"{file} is a folder: give the name of a file")
            make_folder(file.parent)
