"""What a network begins with, where that is not random: a model's weights, or public ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import MixTransformer
from anymodal_seg_ros.networks.modality_layers import ModalityAdapter
from anymodal_seg_training.checkpoint import load_public_weights
from anymodal_seg_training.published.efficientnet_names import with_timm_names
from anymodal_seg_training.published.openmmlab_names import from_openmmlab
from anymodal_seg_training.recipe import InitialWeights

if TYPE_CHECKING:
    from anymodal_seg_ros.networks.timm_encoder import TimmEncoder

_FROM_TIMM = "timm"
E = TypeVar("E", bound=nn.Module)
"""A kind of encoder."""


def fill(network: AnyModalNetwork, initial: InitialWeights) -> None:
    """Give a network the weights that it is to begin with.

    Raises:
        AnymodalError: what is named is missing, broken, or of another architecture.
    """
    if initial.keep_statistics and not any(_timm_norms(network)):
        raise ConfigError(
            "initial_weights.keep_statistics needs a network with backbone: timm:NAME and batch "
            "norms in it: leave it out"
        )
    if initial.model:
        _begin_as_model(network, initial)
    elif initial.encoder:
        _begin_with_encoder(network, initial.encoder)


def filled_by_encoder(network: AnyModalNetwork, initial: InitialWeights) -> frozenset[str]:
    """Return the names of the parameters that ``initial.encoder`` fills, before or after it does.

    Empty where no encoder is named: then there is nothing that the others are new beside.
    """
    if not initial.encoder:
        return frozenset()
    encoders = {*_mix_transformers(network), *_timm_encoders(network)}
    new = {p for m in network.modules() if isinstance(m, ModalityAdapter) for p in m.parameters()}
    return frozenset(
        f"{place}.{name}"
        for place, module in network.named_modules()
        if module in encoders
        for name, parameter in module.named_parameters()
        if parameter not in new
    )


def keep_statistics(network: nn.Module) -> None:
    """Let the batch norms of every timm encoder go on with the statistics that they have.

    To be called after ``network.train()``, which sets them learning.
    """
    for norm in _timm_norms(network):
        norm.eval()


def _timm_norms(network: nn.Module) -> Iterator[_BatchNorm]:
    for encoder in _timm_encoders(network):
        yield from (m for m in encoder.modules() if isinstance(m, _BatchNorm))


def _mix_transformers(network: nn.Module) -> list[MixTransformer]:
    return [module for module in network.modules() if isinstance(module, MixTransformer)]


def _timm_encoders(network: nn.Module) -> list[TimmEncoder]:
    try:
        from anymodal_seg_ros.networks.timm_encoder import TimmEncoder
    except ImportError:  # without timm no network has one
        return []
    return [module for module in network.modules() if isinstance(module, TimmEncoder)]


def _begin_as_model(network: AnyModalNetwork, initial: InitialWeights) -> None:
    """Copy all of a model, each modality as the one of the same name or the one it is like."""
    model = load_model(initial.model)
    trained = load_network(model)
    if type(trained) is not type(network):
        raise ConfigError(
            f"initial_weights.model {initial.model!r} is a {type(trained).__name__}, the recipe's "
            f"network a {type(network).__name__}: take the same architecture"
        )
    if unused := sorted(set(initial.like) - set(network.modalities)):
        raise ConfigError(
            f"initial_weights.like names {unused[0]!r}, which is no modality of the recipe: "
            f"expected some of {', '.join(network.modalities)}"
        )
    like = {name: initial.like.get(name, name) for name in network.modalities}
    for name, old in like.items():
        if old not in trained.modalities:
            raise ConfigError(
                f"the model {initial.model!r} does not know the modality {old!r}: say which one "
                f"of its own ({', '.join(trained.modalities)}) {name} is like, for example "
                f"initial_weights.like: {{{name}: {trained.modalities[0]}}}"
            )
    trained.replace_modalities(like)
    taken, own = trained.state_dict(), network.state_dict()
    classes = trained.num_classes, network.num_classes
    taken["temperature"] = own["temperature"]  # it was fitted to what the model is now
    taken |= {n: own[n] for n in own if n in taken and _by_class(taken[n], own[n], classes)}
    # Fresh adapters change nothing, so a model from before there were any can go on with them.
    taken |= {n: own[n] for n in own if ".adapter." in n and n not in taken}
    shapes, needed = ({n: t.shape for n, t in each.items()} for each in (taken, own))
    if differing := sorted(name for name, _ in shapes.items() ^ needed.items()):
        raise ConfigError(
            f"initial_weights.model {initial.model!r} is of another architecture than the recipe: "
            f"tensors differ, such as {differing[0]}; its own is "
            f"{dict(model.manifest.architecture)}"
        )
    network.load_state_dict(taken)


def _by_class(there: Tensor, here: Tensor, classes: tuple[int, int]) -> bool:
    """Whether two tensors differ in the number of classes and in nothing else."""
    pairs = [(a, b) for a, b in zip(there.shape, here.shape, strict=False) if a != b]
    return there.ndim == here.ndim and bool(pairs) and set(pairs) == {classes}


def _begin_with_encoder(network: AnyModalNetwork, source: str) -> None:
    """Fill every encoder of a network with the same public weights."""
    timm_encoders = _timm_encoders(network)
    if source == _FROM_TIMM:
        for backbone in _some(timm_encoders, "backbone: timm:NAME"):
            backbone.load_public_weights()
        return
    weights = load_public_weights(Path(source).expanduser())
    wanted = "backbone: mit_b0 to mit_b5, or timm:NAME"
    try:
        for backbone in timm_encoders:
            backbone.load_weights(with_timm_names(weights))
        for encoder in () if timm_encoders else _some(_mix_transformers(network), wanted):
            load_mit_weights(encoder, from_openmmlab(weights))
    except AnymodalError as error:
        raise ConfigError(
            f"initial_weights.encoder {source!r}: {error}; a file must be of the recipe's {wanted}"
        ) from error


def _some(encoders: list[E], wanted: str) -> list[E]:
    if not encoders:
        raise ConfigError(f"initial_weights.encoder needs a network with {wanted}")
    return encoders
