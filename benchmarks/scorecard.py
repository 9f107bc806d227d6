"""The scorecard of the bundled models: every fault on every sensor, all weathers, real recordings.

    PYTHONPATH=. python benchmarks/scorecard.py --data FOLDER --write docs/reference/scorecard.md

Drives of RigBench's test split, one in each weather, are rendered once and kept in the work folder.
Each model replays all of them with sensors that are well, and the drive in the sun with every
subset and with every kind of fault on every sensor; the same again with the naive pipeline. What is
finished is not done again, so it can be stopped and started at will; when the code that makes masks
or anything of a model has changed, it begins anew. With ``--page-only`` the page is written from
what is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from scorecard_page import Card, page

import anymodal_seg_ros
from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig, load_config
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.assemble import ImageSensor, plan, write_bag
from anymodal_seg_ros.evaluation.image_files import list_images, pair_by_name
from anymodal_seg_ros.evaluation.naive import PIPELINES
from anymodal_seg_ros.evaluation.rig_bag import write_rig_bag
from anymodal_seg_ros.evaluation.rig_parameters import PARAMETERS
from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig
from anymodal_seg_ros.evaluation.scorecard.cases import Sweep
from anymodal_seg_ros.evaluation.scorecard.plan import Trial, jobs_of
from anymodal_seg_ros.evaluation.scorecard.replays.fleet import reasons_by_name, run_jobs
from anymodal_seg_ros.evaluation.scorecard.replays.job import NONE, Subject, Truth
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard, write_failures
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.simulation.dataset.plan import CLEAN
from anymodal_seg_ros.simulation.dataset.rigbench import rigbench
from anymodal_seg_ros.simulation.rigs import rig_by_name
from anymodal_seg_ros.simulation.world.scene import SceneConfig

MODELS = ("rig-nano", "rig-lite")
SWEPT = "sun"
"""The weather of the drive on which faults are tried."""
MOMENT, FAULT_S = 0.3, 2.0
START_NS = 1_700_000_000_000_000_000
MAKES_MASKS = ("config", "faults", "inference", "messages", "pipeline", "sensing")
"""Folders of the package on which the figures depend."""


def main() -> None:
    options = arguments()
    drives = list(rendered(options.work / "drives", options.seconds, options.workers))
    recordings = list(recorded(options.work / "recordings", options.data))
    cards = {}
    for model in options.models.split(","):
        opened = load_model(model)
        named = f"{opened.manifest.name} {opened.manifest.version}"
        for pipeline in PIPELINES:
            folder = options.work / code_version() / f"{model_key(opened)}-{pipeline}"
            trials = [
                drive_trial(path, weather, model, pipeline, options.kinds)
                for weather, path in drives
            ]
            real = [recording_trial(path, rig, model, pipeline) for path, rig in recordings]
            if not options.page_only:
                replay_all([*trials, *real], folder, options.workers)
            if folder.is_dir():
                card = load_scorecard(folder)
                cards[named, pipeline] = Card(named, pipeline, card.runs, card.unreadable)
    found = page(cards, SWEPT, options.seconds, FAULT_S)
    if options.write:
        options.write.write_text(found, encoding="utf-8")
        print(options.write)
    else:
        print(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    work = Path(tempfile.gettempdir()) / "anymodal_scorecard"
    parser.add_argument("--work", type=Path, default=work, help="drives, recordings and replays")
    parser.add_argument("--data", type=Path, help="folder with the real recordings")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a drive")
    parser.add_argument("--kinds", default="", help="of faults, with commas; all of them if empty")
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0))))
    parser.add_argument("--page-only", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    return parser.parse_args()


def code_version() -> str:
    """Name the code that makes masks by its contents."""
    root = Path(anymodal_seg_ros.__file__).parent
    files = [path for name in MAKES_MASKS for path in sorted((root / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in [root / "frames.py", root / "evaluation" / "naive.py", *files]:
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def model_key(model: Model) -> str:
    """Name a model by its version, and by its contents: weights may change under one version."""
    digest = sha256(model.folder / "model.yaml")  # it has the digests of the other files
    return f"{model.manifest.name}-{model.manifest.version}-{digest[:10]}"


def rendered(folder: Path, seconds: float, workers: int) -> Iterator[tuple[str, Path]]:
    """Yield a drive in each weather, each through another kind of place, rendered if need be."""
    bench = rigbench()
    clean = [p for p in bench.plans("test") if p.case == CLEAN]
    sensors = tuple(s for s in rig_by_name("aligned") if s.modality != "lidar")
    for number, weather in enumerate(bench.weathers):
        kind = bench.kinds[number % len(bench.kinds)]
        scene = next(p for p in clean if (p.weather, p.kind) == (weather, kind))
        place = folder / (scene.name if seconds == 8.0 else f"{scene.name}_{seconds:g}s")
        if not place.is_dir():
            print(f"rendering {place}", file=sys.stderr, flush=True)
            drawn = SceneConfig(scene.seed, weather=weather, kind=kind, ego="driving")
            config = RigBagConfig(drawn, sensors, seconds, packets=False)
            partial = folder / ".partial" / place.name  # a bag's file has the name of its folder
            partial.parent.mkdir(parents=True, exist_ok=True)
            write_rig_bag(partial, config, workers=workers, replace=True)
            partial.rename(place)
        yield weather, place


def recorded(folder: Path, data: Path | None) -> Iterator[tuple[Path, RigConfig]]:
    """Yield the real recordings that are there as bags, with the rig of each."""
    if data is None:
        return
    street, stream = data / "rgbt_street", data / "rgbd_stream"
    rgb = SensorConfig("/rgb/image", "rgb", expected_hz=10.0)
    if street.is_dir():
        thermal = SensorConfig("/thermal/image", "thermal", expected_hz=10.0)
        sources = {"rgb": (str(street / "rgb"), ""), "thermal": (str(street / "thermal"), "mono8")}
        path = assembled(folder / "rgb_thermal_street", sources, 10.0)
        yield path, RigConfig({"rgb": rgb, "thermal": thermal})
    if stream.is_dir():
        depth = SensorConfig("/depth/image", "depth", expected_hz=15.0)
        sources = {
            "rgb": (str(stream / "*.color.jpg"), ""),
            "depth": (str(stream / "*.depth.png"), "16UC1"),
        }
        path = assembled(folder / "rgbd_hand_held", sources, 15.0)
        yield path, RigConfig({"rgb": dataclasses.replace(rgb, expected_hz=15.0), "depth": depth})
    if (events := data / "events" / "evt3_walk_db3").is_dir():
        camera = SensorConfig(
            "/event_camera/events", "event", expected_hz=30.0, type="event_packet"
        )
        yield events, RigConfig({"events": camera})
    if (lidar := data / "lidar_bag" / "luminar_ros1.bag").is_file():
        scanner = SensorConfig("/luminar_pointcloud", "lidar", expected_hz=10.0, type="point_cloud")
        yield lidar, RigConfig({"lidar": scanner})


def assembled(path: Path, sources: Mapping[str, tuple[str, str]], rate_hz: float) -> Path:
    """Make a bag of pairs of images, if it is not there yet."""
    if not path.is_dir():
        images = pair_by_name({name: list_images(source) for name, (source, _) in sources.items()})
        sensors = {
            name: ImageSensor(f"/{name}/image", images[name], encoding, name, rate_hz)
            for name, (_, encoding) in sources.items()
        }
        partial = path.parent / ".partial" / path.name
        partial.parent.mkdir(parents=True, exist_ok=True)
        write_bag(partial, sensors, plan(sensors, start_ns=START_NS, paired=True), replace=True)
        partial.rename(path)
    return path


def drive_trial(path: Path, weather: str, model: str, pipeline: str, kinds: str) -> Trial:
    config = dataclasses.replace(load_config(path / PARAMETERS), model=model, threads=1)
    subject = Subject(path, path.name, config, weather, pipeline=pipeline)
    chosen = tuple(kind for kind in kinds.split(",") if kind)
    sweep = Sweep(chosen, (MOMENT,), FAULT_S) if weather == SWEPT else None
    return Trial(subject, sweep=sweep)


def recording_trial(path: Path, rig: RigConfig, model: str, pipeline: str) -> Trial:
    config = SegConfig(model=model, rig=rig, threads=1)
    name = f"recording-{path.stem if path.is_file() else path.name}"
    return Trial(Subject(path, name, config, "real", truth=Truth(NONE), pipeline=pipeline))


def replay_all(trials: list[Trial], folder: Path, workers: int) -> None:
    """Do what is not done yet, and remember what could not be done."""
    jobs, failures = jobs_of(trials, folder)
    started = time.monotonic()

    def tell(what: str, done: float, of: int) -> None:
        if done == int(done):
            took = time.monotonic() - started
            print(f"{folder.name}: {done:.0f} of {of}, {took:.0f} s: {what}", file=sys.stderr)
            sys.stderr.flush()

    failures |= reasons_by_name(run_jobs(jobs, workers, tell))
    write_failures(folder, failures)


if __name__ == "__main__":
    try:
        main()
    except AnymodalError as error:
        sys.exit(f"Error: {error}")
