"""The errors that somebody who trains meets; each names what was wrong and the mend."""

from anymodal_seg_ros.errors import AnymodalError


class TrainingError(AnymodalError):
    """A run cannot start, go on or be read; what was saved before is intact."""
