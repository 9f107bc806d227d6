"""What a recipe says to the network and the strategy that it names, before hours of work."""

from __future__ import annotations

from anymodal_seg_ros.networks import check_architecture
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.strategies import check_strategy


def check_named_options(recipe: Recipe) -> None:
    """Make sure that a recipe's network and strategy exist and know the options that it gives them.

    Raises:
        ConfigError: one is unknown or out of range.
    """
    check_architecture(recipe.architecture)
    check_strategy(recipe.strategy)
