"""A network that was trained before and teaches this one."""

from __future__ import annotations

from pathlib import Path

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.strategies.base import Setting


def load_teacher(folder: str, setting: Setting) -> AnyModalNetwork:
    """Load the best weights of a run, frozen.

    Args:
        folder: of the run.
        setting: of the run that is taught.

    Raises:
        ConfigError: the folder is missing, or its modalities differ.
        TrainingError: it has no weights yet.
    """
    run = RunFolder(Path(folder).expanduser())
    if run.recipe.modality_names != setting.modalities:
        raise ConfigError(
            f"strategy.teacher has the modalities {', '.join(run.recipe.modality_names)}: "
            f"expected {', '.join(setting.modalities)}"
        )
    return load_best(run, setting.num_classes, setting.device).requires_grad_(False)
