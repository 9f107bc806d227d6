"""The engine: a network's halves as two plans, between which nothing leaves the GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError, EngineError, ModelError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import NOT_VERIFIED
from anymodal_seg_ros.inference.manifest import PYRAMID
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.device import Cuda, DeviceArray, DevicePool
from anymodal_seg_ros.inference.tensorrt.graphs import forms_of
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries, load_libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import ROLE, mask_graphs
from anymodal_seg_ros.inference.tensorrt.masks import MOST_SIZES, MaskMaker
from anymodal_seg_ros.inference.tensorrt.runner import Arrays, Plan
from anymodal_seg_ros.inference.verification.contract import check_engine

UNVERIFIED = f"TensorRT is {NOT_VERIFIED}"
"""Said wherever something of TensorRT is told: it was written without a GPU at hand."""


class NotBuiltError(ConfigError):
    """TensorRT could run the model, but there is no plan for it yet, or only a damaged one."""


class TensorRtEngine:
    """Runs the plans of a model that were built on this machine.

    Attributes:
        name: engine, version, precision and device.
        splits: whether the model has an encoding and a fusing half.
        masks: makes masks at the camera's size on the GPU; None where the processor is the faster.
    """

    def __init__(
        self,
        model: Model,
        confidence: bool = False,
        cache: PlanCache | None = None,
        libraries: Libraries | None = None,
    ) -> None:
        """Load the plans, and run them once for each number of sensors.

        Nothing is built here; see :mod:`~anymodal_seg_ros.inference.tensorrt.background`.

        Args:
            model: an opened model folder.
            confidence: whether it shall say how sure it is.
            cache: where the plans are; those of the user if None.
            libraries: to run them with; looked for if None.

        Raises:
            ConfigError: TensorRT cannot be used here, or ``confidence`` cannot be had.
            NotBuiltError: the plans are not built yet, or are damaged.
            EngineError: TensorRT refuses a plan, or the GPU fails.
            ModelError: what a plan computes is not what the manifest says.
        """
        libraries = libraries or load_libraries()
        cache = cache or PlanCache()
        graphs = cache.form(forms_of(model, confidence), libraries)
        self._kinds = len(model.manifest.modalities)
        self._libraries, self._pool = libraries, DevicePool(Cuda(libraries.cudart))
        self._plans: dict[str, Plan] = {}
        self.masks: MaskMaker | None = None  # before the first frame is run, below
        for graph in graphs:
            content = _built(cache, plan_key(graph, libraries), model)
            self._plans[graph.role] = Plan(
                libraries, graph.role, content, self._pool, stay=PYRAMID, both=("logits",)
            )
        self.splits = "encode" in self._plans
        self.name = f"tensorrt {libraries.version} {graphs[0].precision} cuda"
        if self.splits:
            self._check_halves()
        try:
            check_engine(self, model, whole=not self.splits)
        except ModelError as error:
            raise ModelError(f"the plans of {model.folder} are of no use, {error}") from error
        self.masks = self._kept_masks(model, cache)

    def mask_maker(self, content: bytes) -> MaskMaker:
        """Return what makes masks with a plan of one of :func:`mask_graphs`.

        Raises:
            EngineError: TensorRT refuses the plan, or it is of other logits.
        """
        plan = Plan(self._libraries, ROLE, content, self._pool, most=MOST_SIZES)
        *_, last = self._plans.values()
        if last.dtypes.get("logits") != plan.dtypes["logits"]:
            raise EngineError("the logits are of another type than the plan of the masks takes")
        return MaskMaker(plan)

    def _kept_masks(self, model: Model, cache: PlanCache) -> MaskMaker | None:
        """Return what makes masks with the plan that was the fastest, if one was kept."""
        for graph in mask_graphs(model.manifest).values():
            # What is damaged is left alone: the processor makes the same masks.
            with contextlib.suppress(EngineError):
                if plan := cache.find(plan_key(graph, self._libraries)):
                    return self.mask_maker(plan)
        return None

    @property
    def note(self) -> str:
        """What could not be captured as a CUDA graph, in words; empty if all could."""
        slow = {role: plan.uncaptured for role, plan in self._plans.items() if plan.uncaptured}
        rows = {
            role: ", ".join(str(size) for (size,) in sorted(some)) for role, some in slow.items()
        }
        words = " and ".join(f"{role} of {some}" for role, some in rows.items())
        graphs = f"no CUDA graph for {words} sensors, which is slower" if slow else ""
        return "; ".join(filter(None, (graphs, self.masks.note if self.masks else "")))

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame; a network in halves by one after the other."""
        if self.splits:
            return self.fuse(self.encode(batch))
        self._check_ids(batch.modality_ids)
        inputs: Arrays = {"images": batch.images, "modality_ids": batch.modality_ids}
        return self._segmentation(*self._plans["onnx"].run((len(batch.modality_ids),), inputs, {}))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, one after the other; their features stay in the GPU's memory.

        So a row's features are the same to the last bit whoever stands beside it.
        """
        self._check_ids(batch.modality_ids)
        return tuple(
            self._encoded(batch.images[row : row + 1], batch.modality_ids[row : row + 1])
            for row in range(len(batch.modality_ids))
        )

    def _encoded(self, image: npt.NDArray[np.float32], kind: npt.NDArray[np.int64]) -> Features:
        inputs: Arrays = {"images": image, "modality_ids": kind}
        _, kept = self._plans["encode"].run((1,), inputs, {})
        pyramid = tuple(kept[name][0] for name in PYRAMID)
        return Features(int(kind[0]), pyramid, sum(stage.nbytes for stage in pyramid))

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors, at least one, were encoded to."""
        ids = np.array([row.modality_id for row in features], np.int64)
        stages = dict(
            zip(PYRAMID, zip(*(row.pyramid for row in features), strict=True), strict=True)
        )
        inputs: Arrays = {"modality_ids": ids}
        return self._segmentation(*self._plans["fuse"].run((len(ids),), inputs, stages))

    def _segmentation(
        self, found: dict[str, Any], kept: dict[str, list[DeviceArray]]
    ) -> Segmentation:
        """Bring what was computed to the types that everybody expects."""
        for name in ("logits", "contributions"):
            if name in found:
                found[name] = found[name].astype(np.float32, copy=False)
        if self.masks is None or "logits" not in kept:
            return Segmentation(**found)
        (there,) = kept["logits"]
        return Segmentation(**found, mask_at=partial(self.masks.mask, there, found["logits"]))

    def _check_ids(self, ids: npt.NDArray[np.int64]) -> None:
        # TensorRT does not promise to notice: it would read beside its tables.
        if len(ids) == 0 or ids.min() < 0 or ids.max() >= self._kinds:
            raise EngineError(
                f"modality_ids are {ids.tolist()}: expected at least one, of 0 to {self._kinds - 1}"
            )

    def _check_halves(self) -> None:
        made, taken = (self._plans[role].dtypes for role in ("encode", "fuse"))
        for name in PYRAMID:
            if made[name] != taken[name]:
                raise EngineError(
                    f"{name} is {made[name]} from the encoding half, the fusing one takes "
                    f"{taken[name]}: export the model anew"
                )


def _built(cache: PlanCache, key: Any, model: Model) -> bytes:
    mend = (
        "anymodal-seg build-engine builds it in minutes; a node with engine auto or tensorrt does "
        "so while another engine serves"
    )
    try:
        plan = cache.find(key)
    except EngineError as error:
        raise NotBuiltError(f"{error}: {mend}") from error
    if plan is None:
        name = model.manifest.name
        raise NotBuiltError(f"the model {name} has no plan for this machine yet: {mend}")
    return plan
