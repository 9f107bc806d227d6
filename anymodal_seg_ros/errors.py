"""The errors that users meet. Each message names what was wrong, its value and the mend."""

from anymodal_seg_ros.foreign_text import one_line


class AnymodalError(Exception):
    """Base of every error that this package raises on purpose.

    Its text is one line that fits a log, whatever a file or a message put into it; a long one is
    cut in the middle.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(AnymodalError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class ModelError(AnymodalError):
    """A model folder is unreadable, inconsistent, or its files do not match their hashes."""


class DecodeError(AnymodalError):
    """A message cannot be turned into an image: it is rejected and counted, nothing dies."""


class EngineError(AnymodalError):
    """An engine returned something that is no segmentation."""
