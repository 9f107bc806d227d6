"""Under which conditions a frame was taken, as far as its path tells: weather, failure, time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from anymodal_seg_ros.config import build, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.datasets.templates import Fields, fill


@dataclass(frozen=True, slots=True)
class ConditionLayout:
    """What a frame's fields say about the conditions under which it was taken.

    Attributes:
        of: template of what is looked at; without ``values`` it is the value.
        values: by pattern (``*`` stands for anything), the value; the first that fits counts.
        otherwise: value where no pattern fits.
    """

    of: str = text("", "Template of what is looked at")
    otherwise: str = text("", "Value where no pattern fits")
    values: Mapping[str, str] = field(default_factory=dict)

    def value(self, fields: Fields, where: str) -> str:
        """Return the value for a frame.

        Raises:
            ConfigError: no pattern fits, and there is no other value.
        """
        found = fill(self.of, fields, where)
        if not self.values:
            return found
        for pattern, value in self.values.items():
            if fnmatchcase(found, pattern):
                return value
        if not self.otherwise:
            raise ConfigError(
                f"{where}: {found!r} fits none of {', '.join(self.values)}: add a pattern for it, "
                "or otherwise"
            )
        return self.otherwise


def parse_conditions(section: Any) -> dict[str, ConditionLayout]:
    """Read a layout's conditions; an entry that is a text is its template.

    Raises:
        ConfigError: an entry is unknown or something else than it must be.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"conditions is {section!r}: expected named entries, such as weather")
    found = {}
    for name, entry in section.items():
        rest = dict(entry) if isinstance(entry, Mapping) else {"of": entry}
        values = rest.pop("values", {})
        if not isinstance(values, Mapping):
            raise ConfigError(f"conditions.{name}.values is {values!r}: expected value by pattern")
        found[str(name)] = dataclasses.replace(
            build(ConditionLayout, rest, f"conditions.{name}"),
            values={str(pattern): str(value) for pattern, value in values.items()},
        )
    return found
