"""Which room may import which, in every part of the package that has some."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TRAINER = (
    {"", "archives", "errors", "markdown", "names", "recipe", "checkpoint", "fabric", "run_folder"},
    {"data", "losses", "published"},
    {"strategies", "datasets"},
    {"evaluation"},
    {"runs"},
    {"export", "studies"},
    {"commands", "train"},
    {"cli"},
)
RIG = (
    {"", "world", "frame_ids", "recorded", "workers"},
    {"light"},
    {"cameras"},
    {"rig"},
    {"placements", "schedule", "sequence", "dataset", "rigs", "drives"},
    {"census", "contact_sheet"},
)
WORLD = (
    {"", "classes", "shapes", "weather"},
    {"camera", "materials", "raycast", "street"},
    {"ground", "illumination", "motion", "soup", "textures", "things"},
    {"placement"},
    {"scene"},
    {"casting"},
    {"view"},
)
HEALTH = (
    {"", "figures", "sensor_health", "evidence"},
    {"accord", "damage", "kinds", "motion", "repetition", "scan_directions", "watchdog"},
    {"rest", "running_checks"},
    {"scans"},
    {"content_checks"},
)
SCORECARD = (
    {"", "cases", "labels", "runs"},
    {"figures", "replays"},
    {"contents", "plan", "verdict"},
    {"scorecard", "suite"},
    {"report"},
)
CLI = (
    {"", "console", "options"},
    {"main"},
    {"bags", "engines", "evaluation", "robot", "simulation"},
)
INFERENCE = (
    {"", "engine_failures", "engine_protocol", "hardware", "manifest", "onnx_weights"},
    {"masks", "model", "preprocess"},
    {"agreement", "evidence", "verification"},
    {"runtimes", "serving"},
    {"auto", "engines", "tensorrt"},
    {"benchmark"},
)
NODES = (
    {"", "stop_limits"},
    {"engine_build", "environment", "machine_status", "messages", "recording", "services"},
    {"mask_geometry", "process", "worker"},
    {"parameters", "simulated", "topics"},
    {"diagnostics", "label_info", "live_parameters", "replay", "rig"},
    {"health", "node_synchronizer", "outputs"},
    {"inputs"},
    {"segmentation_node"},
    {"demo"},
)
"""From the bottom to the top: a room imports from its own floor and from those below."""

TEACHER = ("strategies/teacher.py", "export")
"""A teacher is a trained network like any other, read when the strategy is built."""


def imports_of(root: Path, package: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the imported room of every import of a package from itself."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.startswith(f"{package}."):
                    yield path.relative_to(root).as_posix(), name[len(package) + 1 :].split(".")[0]


@pytest.mark.parametrize(
    ("folder", "package", "floors"),
    [
        ("training/anymodal_seg_training", "anymodal_seg_training", TRAINER),
        ("anymodal_seg_ros/simulation", "anymodal_seg_ros.simulation", RIG),
        ("anymodal_seg_ros/simulation/world", "anymodal_seg_ros.simulation.world", WORLD),
        ("anymodal_seg_ros/sensing/health", "anymodal_seg_ros.sensing.health", HEALTH),
        ("anymodal_seg_ros/cli", "anymodal_seg_ros.cli", CLI),
        (
            "anymodal_seg_ros/evaluation/scorecard",
            "anymodal_seg_ros.evaluation.scorecard",
            SCORECARD,
        ),
        ("anymodal_seg_ros/inference", "anymodal_seg_ros.inference", INFERENCE),
        ("anymodal_seg_ros/nodes", "anymodal_seg_ros.nodes", NODES),
    ],
)
def test_rooms_import_downwards(
    project_root: Path, folder: str, package: str, floors: tuple[set[str], ...]
) -> None:
    floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    root = project_root / folder
    rooms = {p.relative_to(root).parts[0].removesuffix(".py") for p in root.rglob("*.py")}
    assert rooms - {"__init__"} <= set(floor_of)
    upwards = [
        f"{file} imports {target}"
        for file, target in imports_of(root, package)
        if floor_of.get(target, 0)
        > floor_of[file.split("/")[0].removesuffix(".py").removesuffix("__init__")]
        and (file, target) != TEACHER
    ]
    assert upwards == []
