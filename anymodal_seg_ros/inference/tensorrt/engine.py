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
from anymodal_seg_ros.inference.preprocess import ByteBatch
from anymodal_seg_ros.inference.tensorrt import mask_graph, planes_graph
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.device import Cuda, DeviceArray, DevicePool
from anymodal_seg_ros.inference.tensorrt.graphs import forms_of
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries, load_libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import mask_graphs
from anymodal_seg_ros.inference.tensorrt.masks import MOST_SIZES, MaskMaker
from anymodal_seg_ros.inference.tensorrt.planes_graph import planes_graphs, planes_inputs
from anymodal_seg_ros.inference.tensorrt.runner import Arrays, Plan, Rows
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
        planes: normalises pictures of 8 bits on the GPU; None likewise.
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
        self.masks: MaskMaker | None = None
        self.planes: Plan | None = None
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
        for around, use in ((mask_graphs, self.use_masks), (planes_graphs, self.use_planes)):
            for graph in around(model.manifest).values():
                # What is damaged or refused is left alone: the processor does the same.
                with contextlib.suppress(EngineError):
                    if plan := cache.find(plan_key(graph, libraries)):
                        use(plan)

    def use_masks(self, content: bytes | None) -> None:
        """Make masks at the camera's size on the GPU from now on; None: leave them to others.

        Raises:
            EngineError: TensorRT refuses the plan, or it is of other logits.
        """
        self.masks = None
        if content is None:
            return
        plan = Plan(self._libraries, mask_graph.ROLE, content, self._pool, most=MOST_SIZES)
        *_, last = self._plans.values()
        if last.dtypes.get("logits") != plan.dtypes["logits"]:
            raise EngineError("the logits are of another type than the plan of the masks takes")
        self.masks = MaskMaker(plan)

    def use_planes(self, content: bytes | None) -> None:
        """Normalise pictures of 8 bits on the GPU from now on; None: take planes from the host.

        Raises:
            EngineError: TensorRT refuses the plan, or the network takes other planes.
        """
        self.planes = None
        if content is None:
            return
        plan = Plan(self._libraries, planes_graph.ROLE, content, self._pool, stay=("images",))
        encode = self._plans.get("encode")
        if encode is None or encode.dtypes["images"] != plan.dtypes["images"]:
            raise EngineError("the network takes no planes of this type from the GPU")
        plan.ready((1,), ())
        encode.ready((1,), ("images",))
        self.planes = plan

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
        kinds = [batch.modality_ids[row : row + 1] for row in range(len(batch.modality_ids))]
        if self.planes is not None and isinstance(batch, ByteBatch):
            planes = (self.planes.run((1,), planes_inputs(row), {})[1] for row in batch.rows)
            return tuple(
                self._encoded(kind, {}, made) for kind, made in zip(kinds, planes, strict=True)
            )
        return tuple(
            self._encoded(kind, {"images": batch.images[row : row + 1]}, {})
            for row, kind in enumerate(kinds)
        )

    def _encoded(self, kind: npt.NDArray[np.int64], here: Arrays, there: Rows) -> Features:
        """Encode one sensor, whose planes are on the host or on the GPU."""
        _, kept = self._plans["encode"].run((1,), {"modality_ids": kind, **here}, there)
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
