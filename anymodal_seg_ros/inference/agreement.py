"""What a model's folder says of how far its sensors usually agree."""

from __future__ import annotations

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.sensing.health.accord.contradiction import NormalAccord
from anymodal_seg_ros.sensing.health.accord.normal_accord import parse_normal

ROLE = "agreement"
"""Of the file, in the manifest."""


def load_agreement(model: Model) -> NormalAccord | None:
    """Return what is normal for the sensors of a model; None if its folder does not say.

    Whoever brings an engine of their own may bring no more of a model than its manifest: then there
    is no folder to ask.

    Raises:
        ModelError: the file is damaged, or of another model.
    """
    if ROLE not in model.manifest.files or getattr(model, "folder", None) is None:
        return None
    try:
        normal = parse_normal(model.read(ROLE, keep=True))  # at every activation
        if strangers := normal.kinds - set(model.manifest.modalities):
            raise ValueError(
                f"it is of another model: it knows {', '.join(sorted(strangers))}, this one "
                f"{', '.join(sorted(model.manifest.modalities))}"
            )
        return normal
    except ValueError as error:
        raise ModelError(
            f"{model.file(ROLE)}: {error}; make it anew with 'anymodal-train agreement'"
        ) from error
