"""YAML files that people write, read as far as to their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from anymodal_seg_ros.errors import ConfigError


def read_yaml(path: Path, what: str) -> Any:
    """Return the content of a YAML file; ``what`` names the file in an error, e.g. ``recipe``.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the {what} {path}: {error}") from error
