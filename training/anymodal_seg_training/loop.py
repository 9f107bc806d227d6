"""The training loop: steps, log, checkpoints, validation, exact resume."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from anymodal_seg_ros.evaluation.metrics import mean_iou
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_training.augmentation import Batch, augment
from anymodal_seg_training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.display import Display
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.log import RunLog
from anymodal_seg_training.optimisation import build_optimiser, learning_rate, set_learning_rate
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.sampling import batch_indices, spread_indices, step_generator
from anymodal_seg_training.strategies import build_strategy
from anymodal_seg_training.subset_evaluation import mean_over_subsets, subset_confusions


@dataclass(frozen=True, slots=True)
class Frames:
    """The data of a run.

    Attributes:
        train: frames to learn from.
        validation: frames that choose the best weights.
        num_classes: K.
    """

    train: FrameCache
    validation: FrameCache
    num_classes: int


class Trainer:
    """One run.

    All randomness comes from the recipe's seed and the step number (see :mod:`.sampling`), so that
    step, weights and optimiser are the whole state of a run.
    """

    def __init__(
        self, recipe: Recipe, frames: Frames, run: RunFolder, device: torch.device
    ) -> None:
        """Build network, strategy and optimiser.

        Raises:
            ConfigError: the recipe asks for something unknown.
        """
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.architecture, frames.num_classes, recipe.modality_names)
        # Convolutions in channels_last take half the time on a CPU.
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: AnyModalNetwork = network
        frequencies = frames.train.class_frequencies(frames.num_classes)
        self._strategy = build_strategy(recipe.strategy, frequencies)
        self._optimiser = build_optimiser(network, recipe.training)
        self._recipe = recipe
        self._options = recipe.training
        self._frames = frames
        self._run = run
        self._device = device
        # On a CPU the fused attention's backward pass is slower than plain matrix products.
        self._attention = [SDPBackend.MATH]
        if device.type != "cpu":
            self._attention += [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
        self._step = 0
        self._best = -math.inf

    def resume(self) -> None:
        """Go on from the last checkpoint; from the start if there is none yet.

        Raises:
            TrainingError: the checkpoint is broken.
        """
        if not self._run.last_file.exists():
            return
        state = load_checkpoint(self._run.last_file)
        try:
            self._network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._step, self._best = int(state["step"]), float(state["best"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self._run.last_file} does not fit the recipe: {error}"
            ) from error

    def fit(self, display: Display) -> None:
        """Train to the last step.

        Raises:
            TrainingError: the loss is not finite, or a file cannot be written.
        """
        log = RunLog(self._run.log_file, self._step)
        try:
            while self._step < self._options.steps:
                self._advance(log, display)
        finally:
            log.close()

    def _advance(self, log: RunLog, display: Display) -> None:
        """Do one step and what is due after it."""
        started = time.perf_counter()
        batch = self._batch()
        loaded = time.perf_counter()
        values = self._learn(batch)
        ended = time.perf_counter()
        options = self._options
        if self._step % options.log_every == 0:
            values["modalities"] = len(batch.modality_ids)
            values["data_s"] = round(loaded - started, 4)
            values["step_s"] = round(ended - loaded, 4)
            log.write(self._step, "train", values)
        self._step += 1
        display.advance("training", self._step, options.steps, f"loss {values['loss']:.3f}")
        last = self._step == options.steps
        if last or self._step % options.validate_every == 0:
            self._validate(log, display)
        if last or self._step % options.checkpoint_every == 0:
            self._save()

    def _batch(self) -> Batch:
        """Read and vary the frames of this step."""
        recipe, step = self._recipe, self._step
        generator = step_generator(recipe.seed, step)
        names = self._strategy.modalities(generator, recipe.modality_names)
        indices = batch_indices(
            recipe.seed, step, self._options.batch_size, len(self._frames.train)
        )
        planes, labels = self._frames.train.read(indices, names)
        specs = [recipe.modalities[name] for name in names]
        return augment(planes, labels, specs, recipe.augmentation, generator)

    def _learn(self, batch: Batch) -> dict[str, Any]:
        """Do one step of the optimiser."""
        options, step = self._options, self._step
        self._network.train()
        torch.manual_seed(int(step_generator(self._recipe.seed, step).integers(2**62)))  # dropout
        rate = learning_rate(options, step)
        set_learning_rate(self._optimiser, rate)
        low_precision = torch.autocast(
            self._device.type, torch.bfloat16, enabled=options.precision == "bf16"
        )
        with low_precision, sdpa_kernel(self._attention):
            loss = self._strategy.loss(self._network, batch.to(self._device))
        value = float(loss.total.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {step}: lower training.learning_rate; "
                f"the last good checkpoint is {self._run.last_file}"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        if options.gradient_clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), options.gradient_clip)
        self._optimiser.step()
        return {"loss": value, "learning_rate": rate, **loss.parts}

    def _validate(self, log: RunLog, display: Display) -> None:
        """Measure on the validation frames and keep the weights if they are the best so far."""
        recipe = self._recipe
        confusions = subset_confusions(
            self._network,
            self._frames.validation,
            spread_indices(self._options.validation_frames, len(self._frames.validation)),
            self._strategy.validation_subsets(recipe.modality_names),
            recipe,
            self._device,
        )
        score = mean_over_subsets(confusions)
        log.write(
            self._step - 1,
            "validation",
            {"score": score, **{key: mean_iou(matrix) for key, matrix in confusions.items()}},
        )
        better = score > self._best
        display.say(f"step {self._step}: validation mIoU {score:.4f}{' (best)' if better else ''}")
        if better:
            self._best = score
            save_weights(self._run.best_file, self._network.state_dict())

    def _save(self) -> None:
        save_checkpoint(
            self._run.last_file,
            {
                "step": self._step,
                "best": self._best,
                "network": self._network.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
        )
