"""The errors that somebody who trains meets; each names what was wrong and the mend."""

from __future__ import annotations

from collections.abc import Sequence

from anymodal_seg_ros.errors import AnymodalError


class TrainingError(AnymodalError):
    """A run cannot start, go on or be read; what was saved before is intact."""


class UnknownLabelError(TrainingError):
    """A label holds numbers or colours that are no class.

    Attributes:
        path: of the file.
        kind: ``label ids`` or ``colours``.
        values: all of them, as one would write them.
        mend: what can be done.
    """

    def __init__(self, path: object, kind: str, values: Sequence[str], mend: str) -> None:
        """Say which file it is; the first eight values are in the text."""
        some = ", ".join(values[:8])
        super().__init__(f"{path} has the {kind} [{some}], which are no class: {mend}")
        self.path, self.kind, self.values, self.mend = str(path), kind, tuple(values), mend

    def __reduce__(self) -> tuple[type[UnknownLabelError], tuple[object, ...]]:
        """Let it travel from a worker process: by its parts, not by its text."""
        return type(self), (self.path, self.kind, self.values, self.mend)
