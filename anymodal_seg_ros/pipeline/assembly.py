"""The parts of a pipeline that depend on the rig, put together; exchanged when that changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline.budget import Budget
from anymodal_seg_ros.pipeline.cross_check import CrossCheck
from anymodal_seg_ros.pipeline.event_input import EventInput
from anymodal_seg_ros.pipeline.fusion import Fusion
from anymodal_seg_ros.pipeline.modalities import check_modalities, registrar_for
from anymodal_seg_ros.pipeline.picture import Pictures
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.scheduler import Scheduler
from anymodal_seg_ros.pipeline.stages import Preparer
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.sensing.intake import Intake


@dataclass(frozen=True, slots=True)
class Assembly:
    """What works on the messages of one rig, with nothing seen yet.

    Attributes:
        rig: the sensors.
        intake: judges samples and makes frame sets.
        events: decodes event cameras.
        registrar: knows the cameras.
        pictures: chooses the geometry of masks.
        preparer: takes samples through their stages.
        fusion: makes masks.
        budget: of time.
        scheduler: hands out the work.
        cross_check: compares the sensors; None where that is off, or the model knows no agreement.
    """

    rig: RigConfig
    intake: Intake
    events: EventInput
    registrar: Registrar
    pictures: Pictures
    preparer: Preparer
    fusion: Fusion
    budget: Budget
    scheduler: Scheduler
    cross_check: CrossCheck | None

    @property
    def superseded(self) -> int:
        """Frame sets that were dropped because newer ones were due, or nobody fetched them."""
        return self.scheduler.superseded + self.intake.overdue

    def after(self, before: Assembly) -> Assembly:
        """Return these parts, with what those of the same sensors knew that they follow.

        Args:
            before: of another configuration, in use until now. Nobody may use them meanwhile.
        """
        same_events = self.events.made_for == before.events.made_for
        self.registrar.take_cameras_of(before.registrar)
        self.pictures.take_over(before.pictures)
        self.fusion.take_over(before.fusion)
        before.intake.take_parameters_of(self.intake)
        before.scheduler.take_parameters_of(self.scheduler)
        before.budget.take_parameters_of(self.budget)
        if not same_events:
            before.intake.forget_events()
        if self.cross_check is None or not self.cross_check.take_over(before.cross_check):
            before.intake.forget_comparison()
        return replace(
            self,
            intake=before.intake,
            scheduler=before.scheduler,
            budget=before.budget,
            events=before.events if same_events else self.events,
        )


def assemble(
    rig: RigConfig,
    model: Model,
    engine: Engine,
    record: FusionRecord,
    threads: int,
    on_new_run: Callable[[], None],
    *,
    in_time: bool,
) -> Assembly:
    """Put the parts together.

    Args:
        rig: the sensors.
        model: knows what the network takes and gives.
        engine: executes it.
        record: of what was fused; outlives the parts.
        threads: how many will work.
        on_new_run: called when the clock has gone back.
        in_time: whether time is short, as on a robot.

    Raises:
        ModelError: the agreement file of the model is damaged.
        ConfigError: a sensor has a modality that the model does not know, or the sensors cannot be
            registered to each other with what is configured.
    """
    manifest = model.manifest
    check_modalities(rig, manifest)
    registrar = registrar_for(rig, manifest)
    preparer = Preparer(rig, manifest, registrar, engine if can_split(engine) else None)
    budget = Budget(round(rig.budget_ms * 1e6), threads)
    enabled = {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}
    planes = {name: manifest.modalities[s.modality].planes for name, s in enabled.items()}
    normal = load_agreement(model) if rig.cross_check else None
    cross_check = None
    if normal is not None:
        cross_check = CrossCheck(rig, manifest, normal, registrar, preparer, thrifty=in_time)
    return Assembly(
        rig,
        Intake(rig, on_new_run, planes),
        EventInput(rig),
        registrar,
        Pictures(rig, manifest, registrar),
        preparer,
        Fusion(rig, manifest, engine, preparer),
        budget,
        Scheduler(rig, preparer, record, budget),
        cross_check,
    )
