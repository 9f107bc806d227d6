"""``anymodal-train import FILE OUT --as METHOD``: a published checkpoint becomes a model folder."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import FileSpec, Manifest, ModalitySpec, dump_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.preprocess import PICTURES
from anymodal_seg_ros.networks import DeployedNetwork
from anymodal_seg_ros.written_files import write_file
from anymodal_seg_training.checkpoint import load_public_weights, save_weights
from anymodal_seg_training.data.sampling import all_subsets, subset_key
from anymodal_seg_training.datasets.folders import bundled_layout, layout_names
from anymodal_seg_training.datasets.layout import ImageLayout, Layout
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.graphs import (
    GraphComparison,
    demand_agreement,
    deploy,
    write_graphs,
)
from anymodal_seg_training.names import check_name
from anymodal_seg_training.published.channel_order import take_red_first
from anymodal_seg_training.published.weights import METHODS, network_of
from anymodal_seg_training.recipe import parse_recipe
from anymodal_seg_training.runs.command_line import run_command

WEIGHTS_FILE = "model.safetensors"
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""How the colour camera is normalised in the code of these methods; other pictures are not, and in
that of AnySeg on MUSES none is."""

PLANES = {"depth": "depth", "metres": "depth", "counts": "thermal"} | {
    read: read for read in PICTURES if read != "color"
}
"""Kinds of planes by how a layout reads the files; every other one is a picture of three channels,
but for what is called thermal."""


GREY = ("gray", "fourth", "counts")
"""What a layout reads as one channel, beside arrays."""

ORDERED = ("cmnext", "stitchfusion")
"""Methods whose tensors belong to modalities by their places."""


def import_checkpoint(
    file: Path, method: str, modalities: tuple[str, ...], data: str, size: tuple[int, int],
    out: Path, blue_first: tuple[str, ...] = (),
) -> float:  # fmt: skip
    """Write the model folder of a published checkpoint and check it.

    Args:
        file: ``.pth`` or ``.safetensors``; no code in it is executed.
        method: one of :data:`.published_weights.METHODS`.
        modalities: names in the order of the checkpoint's training, the colour camera first.
        data: layout of the data set that it was trained on, which knows the classes: the name of a
            bundled one, or the path of a file.
        size: height and width of the network's input.
        out: the model folder.
        blue_first: modalities whose pictures were read with blue first when it was trained.

    Returns:
        The smallest share of pixels, over some subsets, to which ONNX graphs and network give the
        same class on random pictures.

    Raises:
        ConfigError: there is no such layout, it has no such modalities, the folder's name is
            none for a model, or pictures cannot have been read as ``blue_first`` says.
        TrainingError: the checkpoint cannot be read or does not fit, or the folder not be written.
    """
    layout = bundled_layout(data, "--classes")
    name = check_name(out.resolve().name, "the name of the model folder")
    network, architecture = network_of(method, load_public_weights(file), modalities)
    if network.num_classes != len(layout.classes):
        raise TrainingError(
            f"{file} tells {network.num_classes} classes, {layout.title} has "
            f"{len(layout.classes)}: name another data set with --classes"
        )
    _check_modalities(modalities, layout)
    specs = _specs(modalities, layout, blue_first)
    take_red_first(network, blue_first, [name for name in modalities if _is_grey(name, layout)])
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the model folder {out}: {error}") from error
    deployed = deploy(network)
    save_weights(out / WEIGHTS_FILE, network.state_dict())
    files = write_graphs(deployed, *size, out)
    files["weights"] = FileSpec(WEIGHTS_FILE, sha256(out / WEIGHTS_FILE))
    shares = _parity(deployed, modalities, size, out)
    demand_agreement(shares, out)
    if data not in layout_names():
        data = str(Path(data).resolve())  # the model may be measured from another folder
    _write_manifest(
        file,
        method,
        architecture,
        specs,
        layout,
        data,
        size,
        files,
        deployed.outputs,
        out,
        name,
        blue_first,
    )
    return min(shares.values())


def _check_modalities(modalities: tuple[str, ...], layout: Layout) -> None:
    """Refuse names that the data set does not know, and a colour camera that is not the first.

    Raises:
        ConfigError: as said; of no tensor it can be seen, and the model would be fed wrongly.
    """
    known = tuple(layout.images)
    for name in modalities:
        if name not in known:
            raise ConfigError(
                f"--modalities has {name!r}: {did_you_mean(name, known)}{layout.title} has "
                f"{', '.join(known)}"
            )
    if known[0] in modalities[1:]:
        raise ConfigError(
            f"--modalities is {','.join(modalities)}: {known[0]} must be the first, as it was when "
            "the checkpoint was trained"
        )


def _usual_order(modalities: tuple[str, ...], data: str) -> str:
    """Return in which order a data set lists modalities, if that is another one; else nothing."""
    known = [name for name in bundled_layout(data, "--classes").images if name in modalities]
    return "" if known == list(modalities) else ",".join(known)


def _parity(
    network: DeployedNetwork, names: tuple[str, ...], size: tuple[int, int], folder: Path
) -> dict[str, float]:
    """Compare graphs and network on random pictures: each sensor, and all."""
    shape = (1, len(names), 3, *size)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    shares, comparison = {}, GraphComparison(network, folder)
    for subset in all_subsets(names):
        if len(subset) in (1, len(names)):
            ids = np.array([names.index(name) for name in subset], np.int64)
            rows = np.ascontiguousarray(images[:, ids])
            shares[subset_key(subset)] = comparison.agreement(rows, ids)
    return shares


def _specs(
    modalities: tuple[str, ...], layout: Layout, blue_first: tuple[str, ...]
) -> dict[str, dict[str, object]]:
    """Say how the pictures of each modality become planes.

    Raises:
        ConfigError: ``blue_first`` has what is none of the modalities, or no picture of colours.
    """
    specs = {
        name: _spec(place, name, layout.images[name], layout.raw, name in blue_first)
        for place, name in enumerate(modalities)
    }
    for name in blue_first:
        if name not in specs:
            raise ConfigError(
                f"--blue-first has {name!r}: {did_you_mean(name, modalities)}"
                f"--modalities has {', '.join(modalities)}"
            )
        if specs[name]["planes"] == "depth":
            raise ConfigError(
                f"--blue-first has {name}: these are distances, no picture with colours"
            )
    return specs


def _is_grey(name: str, layout: Layout) -> bool:
    image = layout.images[name]
    single = image.read in GREY or (image.read == "floats" and "," not in image.path)
    return single or name == "thermal"


def _spec(
    place: int, name: str, image: ImageLayout, raw: bool = False, blue_first: bool = False
) -> dict[str, object]:
    """Say how pictures of a modality, which lie as ``image`` says, become planes.

    With ``raw`` the authors' code takes the numbers in the files as they are. With ``blue_first``
    it normalises the channels as it has read them, so that the first mean is that of blue.
    """
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if place == 0 else ([0.0] * 3, [1.0] * 3)
    if raw:
        mean, std = [0.0] * 3, [1.0 / 255.0] * 3
    if image.read == "floats":  # which the authors' code takes as they are
        span = image.high - image.low
        mean, std = [-image.low / span] * 3, [1.0 / span] * 3
    if blue_first:
        mean, std = mean[::-1], std[::-1]
    planes = PLANES.get(image.read, "thermal" if name == "thermal" else "color")
    spec = {"id": place, "planes": planes, "mean": mean, "std": std, "sparse": name == "event"}
    # Nothing says whether the counts are temperatures; percentiles fit all of them.
    return spec | ({"thermal_mode": "percentile"} if image.read == "counts" else {})


def _write_manifest(
    file: Path,
    method: str,
    architecture: dict[str, object],
    pictures: dict[str, dict[str, object]],
    layout: Layout,
    data: str,
    size: tuple[int, int],
    files: dict[str, FileSpec],
    outputs: tuple[str, ...],
    out: Path,
    name: str,
    blue_first: tuple[str, ...],
) -> None:
    origin = f"{file.name}, sha256 {sha256(file)}"
    description = f"The published {method} checkpoint {origin}, of {layout.title}, imported."
    recipe = parse_recipe(
        {
            "name": name,
            "description": description,
            "architecture": architecture,
            "modalities": pictures,
            "data": {"dataset": "folders", "layout": data, "root": "FOLDER"},
            "strategy": {"name": "supervised", "modality_dropout": "none"},
            "input": {"height": size[0], "width": size[1]},
            "augmentation": {"crop_height": size[0], "crop_width": size[1]},
        }
    )
    specs: dict[str, ModalitySpec] = dict(recipe.modalities)
    manifest = Manifest(
        name=name,
        version="0.1.0",
        description=description,
        architecture=architecture,
        height=size[0],
        width=size[1],
        classes=layout.classes,
        modalities=specs,
        files=files,
        outputs=outputs,
        recipe=recipe.plain(),
    )
    write_file(out / "MODEL_CARD.md", _card(manifest, layout, origin, blue_first))
    dump_manifest(manifest, out)
    load_model(str(out))  # what was written can be opened


_NORMALISED = """
The first is normalised by the statistics of ImageNet, arrays of numbers are taken as they are, and
other pictures are only brought to 0..1.
"""

_RAW = """
All are taken as they are, from 0 to 255: the authors' code normalises none of them.
"""


_BLUE_FIRST = """
The checkpoint was trained with blue first in {}. Its first weights were turned round, so that the
network takes red first, as all models here. The statistics were taken to be applied as they are
usually written, the first number to the first channel, which is blue: `mean` and `std` in
model.yaml, which are for red, green and blue, have them turned round, too. Where the authors turned
theirs, turn those back.
"""


def _card(manifest: Manifest, layout: Layout, origin: str, blue_first: tuple[str, ...]) -> str:
    """Say what the model is, and what nobody has measured yet."""
    pictures = "\n".join(
        f"- {name}: `planes: {spec.planes}`, as `{layout.images[name].path}` of the data set"
        if name in layout.images
        else f"- {name}: `planes: {spec.planes}`"
        for name, spec in manifest.modalities.items()
    )
    how = (_RAW if layout.raw else _NORMALISED).strip()
    if blue_first:
        how += "\n\n" + _BLUE_FIRST.format(", ".join(blue_first)).strip()
    return f"""# {manifest.name}

Imported from {origin}. The weights are their authors', under their terms.

Data set: {layout.title}. {layout.obtain}

## Pictures

The network must be given pictures as the data set has them:

{pictures}

{how}

`planes: hha` is made from live depth and the intrinsics of its picture, so name the CameraInfo
topic of the depth camera in `rig.sensors.NAME.registration.camera_info`; pictures of HHA on the
topic are taken as they are. `planes: muses_event` is made from events
(`events.window_s: 0.03`), `planes: muses_lidar` from points (`type:
point_cloud`). Where `planes: color` stands for something else than a colour camera,
a node needs a topic that carries pictures as the data set paints them.

## Not measured

Nothing was measured by the import. To do so, put the folder of the data set into `recipe.data.root`
of model.yaml and run `anymodal-train evaluate` on this folder.
"""


def _names(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise click.BadParameter("expected names parted by commas, each once")
    return names


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--as", "method", type=click.Choice(METHODS), required=True, help="Whose it is.")
@click.option(
    "--modalities",
    callback=_names,
    required=True,
    help="In the order of its training, e.g. rgb,depth,event,lidar; the colour camera first.",
)
@click.option(
    "--classes",
    required=True,
    help=f"Data set of its training: {', '.join(layout_names())}, or the path of a layout.",
)
@click.option(
    "--blue-first",
    callback=lambda context, option, value: _names(context, option, value) if value else (),
    default="",
    help="Modalities that its training read by cv2.imread without turning them to red first, e.g. "
    "rgb,depth.",
)
@click.option("--height", type=click.IntRange(32, 4096), default=512, show_default=True)
@click.option("--width", type=click.IntRange(32, 4096), default=512, show_default=True)
def main(
    file: Path,
    out: Path,
    method: str,
    modalities: tuple[str, ...],
    classes: str,
    blue_first: tuple[str, ...],
    height: int,
    width: int,
) -> None:
    """Write the published checkpoint FILE as the model folder OUT.

    Reads what the authors of CMNeXt, StitchFusion, AnySeg and SegFormer publish; no code in the
    file is executed. The size of the encoder and of the head, and the kind of the adapters, are
    taken from it. The network computes what the authors' code does, its oddities included.
    """

    def command() -> None:
        size = (height, width)
        share = import_checkpoint(file, method, modalities, classes, size, out, blue_first)
        if method in ORDERED and (usual := _usual_order(modalities, classes)):
            click.echo(
                f"note: the order of {classes} is {usual}; given in another than a checkpoint was "
                "trained in, its masks are wrong, and no tensor tells"
            )
        click.echo(f"ONNX Runtime and PyTorch agree on {100 * share:.4f} % of pixels or more")
        click.echo(f"written: {out}; nothing was measured, see {out / 'MODEL_CARD.md'}")

    run_command(command)


if __name__ == "__main__":
    main()
