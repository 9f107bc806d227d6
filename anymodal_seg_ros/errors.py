"""The errors that users meet. Each message names what was wrong, its value and the mend."""


class AnymodalError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(AnymodalError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class ModelError(AnymodalError):
    """A model folder is unreadable, inconsistent, or its files do not match their hashes."""


class DecodeError(AnymodalError):
    """A message cannot be turned into an image: it is rejected and counted, nothing dies."""


class EngineError(AnymodalError):
    """An engine returned something that is no segmentation."""
