"""The training loop: steps, log, checkpoints, validation, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.set_statistics import copy_statistics
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import step_generator, torch_seed
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed_frames import shares_of
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.fabric import over_processes
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.batches import MakeBatch, batch_jobs, part_size
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.runs.initial_weights import fill, keep_statistics
from anymodal_seg_training.runs.log import RunLog
from anymodal_seg_training.runs.optimisation import (
    build_optimiser,
    freeze,
    learning_rate,
    parameter_rates,
    set_learning_rate,
)
from anymodal_seg_training.runs.validation import validate
from anymodal_seg_training.strategies import build_strategy, makes_masks
from anymodal_seg_training.strategies.base import Setting, Strategy

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_UNFIT = (AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError)
"""What PyTorch raises of a state that is none, or of something else."""

_MOST_REPLACED = 1 << 53


@dataclass(frozen=True, slots=True)
class Frames:
    """The data of a run.

    Attributes:
        train: frames to learn from; those of validation where nothing is learned.
        validation: frames that choose the best weights; of mixed data sets if ``train`` is.
        classes: the names of the K classes.
        blocks: of training frames, see :func:`.sampling.epoch_order`.
    """

    train: FrameSource
    validation: FrameSource
    classes: tuple[str, ...]
    blocks: tuple[int, ...] = ()


class Learner(nn.Module):
    """Network and strategy as one module whose forward is the loss.

    So whatever a strategy calls of the network, the engine sees one forward and one backward. What
    learns beside the network is in here too.
    """

    def __init__(self, network: AnyModalNetwork, strategy: Strategy, seed: int) -> None:
        """Keep them."""
        super().__init__()
        self.network = network
        self.parts = strategy.own_parts()
        self._strategy = strategy
        self._seed = seed

    def forward(
        self, images: Tensor, ids: Tensor, labels: Tensor, dataset: str, step: int
    ) -> dict[str, Tensor]:
        """Return ``loss``, with a gradient, its parts and what else is noted, without."""
        # Not the generator that chose the modalities: what a strategy draws is independent of it.
        generator = step_generator(self._seed, step, of_loss=True)
        batch = Batch(images, ids, labels, dataset=dataset)
        found = self._strategy.loss(self.network, batch, generator)
        parts = {f"loss_{name}": value.detach() for name, value in found.parts.items()}
        return {"loss": found.total, **parts, **found.notes}


class Trainer:
    """One run, or one of its processes.

    All randomness comes from the recipe's seed and the step number (see :mod:`.sampling`), so that
    step, weights, optimiser, averages and the strategy's own state are the whole state of a run.
    """

    def __init__(self, recipe: Recipe, frames: Frames, run: RunFolder, fabric: Fabric) -> None:
        """Build network, strategy and optimiser.

        Raises:
            ConfigError: the recipe asks for something unknown, for a batch that cannot be split
                evenly, or for initial weights of another architecture.
            AnymodalError: the initial weights cannot be read, or nothing is labelled.
        """
        recipe = recipe.for_frames(len(frames.train))
        self._recipe = recipe
        self._options = recipe.training
        self._frames = frames
        self._run = run
        self._fabric = fabric
        part_size(recipe, fabric.world_size)  # an uneven split is found before the first frame
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.architecture, len(frames.classes), recipe.modality_names)
        if not run.last_file.exists():  # else it goes on with the weights of its checkpoint
            fill(network, recipe.initial_weights)
        freeze(network, recipe.training.frozen)
        # Convolutions in channels_last take half the time on a CPU.
        network = network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: AnyModalNetwork = network
        if fabric.world_size > 1:
            # It takes timm along, which one process alone may do without.
            from anymodal_seg_training.runs.synchronised_norm import synchronise_norms

            synchronise_norms(network, fabric.device)
        frequencies = frames.train.class_frequencies(len(frames.classes))
        if makes_masks(recipe.strategy.get("name", "")) and not frequencies.any():
            raise TrainingError(
                f"no pixel of the {len(frames.train)} training frames has a label: there is "
                "nothing to learn; look at label.ignore and label.renumber of the data set's layout"
            )
        self._shares = shares_of(frames.train, recipe.modality_names)
        known = {s.name: s.classes for s in self._shares if s.classes is not None}
        setting = Setting(recipe.modality_names, frequencies, fabric.device, known, frames.classes)
        self._strategy = strategy = build_strategy(recipe.strategy, setting)
        for share in self._shares:  # sensors that do not suit are found before the first frame
            strategy.validation_subsets(share.modalities)
        strategy.prepare(network)
        learner = Learner(network, strategy, recipe.seed)
        optimiser = build_optimiser(
            learner, recipe.training, parameter_rates(recipe, strategy, network)
        )
        self._learner, self._optimiser = fabric.setup(learner, optimiser)
        self._average: AveragedModel | None = None
        if self._options.ema > 0.0:
            decay = get_ema_multi_avg_fn(self._options.ema)
            self._average = AveragedModel(network, multi_avg_fn=decay, use_buffers=True)
        # On a CPU the fused attention's backward pass is slower than plain matrix products.
        self._attention = [SDPBackend.MATH]
        if fabric.device.type != "cpu":
            self._attention += [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
        self._step = 0
        self._best = -math.inf
        self._replaced = 0
        self._batches: Generator[Batch, None, None] | None = None

    def resume(self) -> None:
        """Go on from the last checkpoint; from the start if there is none yet.

        Raises:
            TrainingError: the checkpoint is broken, or of a run on another number of frames.
        """
        if not self._run.last_file.exists():
            return
        state = self._run.load_last()
        now = len(self._frames.train)
        if (before := state.get("frames", now)) != now:  # older checkpoints do not say it
            raise TrainingError(
                f"cannot resume {self._run.path}: it was trained on {before} frames, its data set "
                f"has {now} now, so that their order and its epochs would be others: give it back "
                "those frames, or name another folder with --run-dir"
            )
        try:
            self._restore(state)
        except _UNFIT as error:
            raise TrainingError(
                f"{self._run.last_file} does not fit the recipe: {error}; name another folder with "
                "--run-dir"
            ) from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state, which may be of any other run or made up."""
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        for parameter, held in self._optimiser.optimizer.state.items():
            for name, value in held.items():
                if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(f"{name} of the optimiser has the shape {list(value.shape)}")
        self._strategy.restore(state["strategy"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        step, best, replaced = state["step"], state["best"], state.get("replaced", 0)
        # What was replaced is unknown in checkpoints from before frames were streamed.
        for name, number, most in (
            ("step", step, self._options.steps),
            ("replaced", replaced, _MOST_REPLACED),
        ):
            if type(number) is not int or not 0 <= number <= most:
                raise ValueError(f"{name} is {quote(number)}: expected 0 to {most}")
        if type(best) not in (int, float) or math.isnan(best):
            raise ValueError(f"best is {quote(best)}: expected a score")
        self._step, self._best, self._replaced = step, best, replaced

    def fit(self, display: Display) -> None:
        """Train to the last step; without any, measure and keep what it began with.

        Raises:
            TrainingError: the loss is not finite, or a file cannot be read or written.
        """
        recipe, frames = self._recipe, self._frames
        jobs = batch_jobs(
            recipe, self._strategy, self._shares, self._fabric, self._step, frames.blocks
        )
        self._batches = frames.train.run(jobs, MakeBatch(recipe))
        log = RunLog(self._run.log_file, self._step) if self._fabric.is_global_zero else None
        try:
            if not self._options.steps:
                self._validate(log, display)
                self._save()
            while self._step < self._options.steps:
                self._advance(log, display)
        finally:
            self._batches.close()
            if log is not None:
                log.close()

    def _advance(self, log: RunLog | None, display: Display) -> None:
        """Do one step and what is due after it."""
        options = self._options
        values = self._learn(display)
        if log is not None and self._step % options.log_every == 0:
            log.write(self._step, "train", values)
        self._step += 1
        last = self._step == options.steps
        if self._fabric.is_global_zero:
            display.advance("training", self._step, options.steps, f"loss {values['loss']:.3f}")
        if last or self._step % options.validate_every == 0:
            self._validate(log, display)
        if last or self._step % options.checkpoint_every == 0:
            self._save()

    def _batch(self) -> Batch:
        """Return this process's frames of the next part of the step."""
        assert self._batches is not None
        return next(self._batches)

    def _learn(self, display: Display) -> dict[str, Any]:
        """Do one step of the optimiser, in as many parts as the recipe says."""
        options, step, fabric = self._options, self._step, self._fabric
        self._learner.train()
        if self._recipe.initial_weights.keep_statistics:
            keep_statistics(self._network)
        torch.manual_seed(torch_seed(self._recipe.seed, step, fabric.global_rank))  # dropout
        rate = learning_rate(options, step)
        set_learning_rate(self._optimiser, rate)
        self._optimiser.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        replaced: list[str] = []
        loading, started, modalities = 0.0, time.perf_counter(), 0
        for part in range(options.accumulate):
            begun = time.perf_counter()
            batch = self._batch().to(fabric.device)
            modalities = len(batch.modality_ids)
            replaced.extend(batch.replaced)
            loading += time.perf_counter() - begun
            waits = part + 1 < options.accumulate
            with self._computing(), fabric.no_backward_sync(self._learner, enabled=waits):
                found = self._learner(
                    batch.images, batch.modality_ids, batch.labels, batch.dataset, step
                )
                fabric.backward(found["loss"] / options.accumulate)
            for name, value in found.items():
                totals[name] = totals.get(name, 0.0) + value.detach().float() / options.accumulate
        values: dict[str, float] = {
            name: float(over_processes(fabric, value, "mean")) for name, value in totals.items()
        }
        self._check("loss", values["loss"])
        if self._recipe.input.on_damage == "replace":
            values["replaced"] = self._count_replaced(replaced, display)
        # Nothing is changed by the largest norm of all; a gradient is looked at in any case.
        norm = fabric.clip_gradients(
            self._learner,
            self._optimiser,
            max_norm=options.gradient_clip or math.inf,
            error_if_nonfinite=False,
        )
        assert norm is not None
        self._check("norm of the gradient", float(norm))
        self._optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self._network)
            copy_statistics(self._network, self._judged)
        return {
            **values,
            "learning_rate": rate,
            "modalities": modalities,
            "data_s": round(loading, 4),
            "step_s": round(time.perf_counter() - started - loading, 4),
        }

    def _count_replaced(self, sentences: list[str], display: Display) -> int:
        """Say what this process replaced and return how many frames all of them did so far."""
        for sentence in sentences:
            display.say(f"step {self._step}: {sentence}; the next good one stands in")
        found = torch.tensor(len(sentences), device=self._fabric.device)
        self._replaced += int(over_processes(self._fabric, found, "sum"))
        return self._replaced

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with sdpa_kernel(self._attention):
            yield

    def _check(self, what: str, value: float) -> None:
        """Stop before a weight is spoiled: every checkpoint is good."""
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value} at step {self._step}: lower training.learning_rate; "
                f"the last good checkpoint is {self._run.last_file}"
            )

    @property
    def _judged(self) -> AnyModalNetwork:
        """The network whose weights are validated and kept."""
        if self._average is None:
            return self._network
        averaged = self._average.module
        assert isinstance(averaged, AnyModalNetwork)
        return averaged

    def _validate(self, log: RunLog | None, display: Display) -> None:
        """Measure on the validation frames and keep the weights if they are the best so far."""
        found = validate(
            self._judged, self._frames.validation, self._recipe, self._strategy, self._fabric
        )
        better = found is None or found.score > self._best
        if found is not None:
            self._best = max(self._best, found.score)
        if log is None:
            return
        if found is not None:
            log.write(max(self._step - 1, 0), "validation", {"score": found.score, **found.values})
            best = " (best)" if better else ""
            display.say(f"step {self._step}: validation mIoU {found.score:.4f}{best}")
        if better:
            save_weights(self._run.best_file, self._judged.state_dict())

    def _save(self) -> None:
        if self._fabric.is_global_zero:
            self._run.save_last(
                {
                    "step": self._step,
                    "best": self._best,
                    "replaced": self._replaced,
                    "frames": len(self._frames.train),
                    "network": self._network.state_dict(),
                    "optimiser": self._optimiser.state_dict(),
                    "strategy": self._strategy.state(),
                    "average": {} if self._average is None else self._average.state_dict(),
                }
            )
        self._fabric.barrier()
