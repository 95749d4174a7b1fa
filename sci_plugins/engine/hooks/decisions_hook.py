"""Keep what the adaptive stage decides for each test image."""

from itertools import islice
from typing import Any

import torch
from mmengine.dist import collect_results, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from sci_plugins.datasets.transforms import EnhanceImage, RawAndEnhanced
from sci_plugins.engine.hooks.image_results_hook import sampled_positions
from sci_plugins.evaluation.decisions import ImageDecision
from sci_plugins.models.enhancers.adaptive import AdaptiveSCIEnhancer, Decision
from sci_plugins.registry import HOOKS
from sci_plugins.utils.model_parts import data_sets_in


@HOOKS.register_module()
class DecisionsHook(Hook):
    """Collects the decisions of an :class:`AdaptiveSCIEnhancer` in a test run.

    The stage may be anywhere in the model or in the pipeline (:class:`EnhanceImage`,
    :class:`RawAndEnhanced`); where that runs in other processes (``num_workers``), images are
    loaded again after the run. Of several views of an image (test-time augmentation) the first one
    counts. Of a batch in which not every image was decided on (a closed gate, images below 5 x 5
    pixels) nothing is kept.

    After the run ``found`` holds the decisions of all processes by the image's position in the set
    on the main process, and ``None`` on the others.
    """

    priority = 'LOW'  # before the hooks that enhance images once more, for pictures

    def __init__(self) -> None:
        self.found: dict[int, ImageDecision] | None = None
        self._own: dict[int, ImageDecision] = {}
        self._heard: list[ImageDecision] = []
        self._stages: list[AdaptiveSCIEnhancer] = []

    def before_test(self, runner: Runner) -> None:
        loader = runner.test_dataloader
        self.found, self._own, self._heard = None, {}, []
        stages = _stages_in(runner.model)[:1]
        self._open, self._in_model = True, bool(stages)
        stages = stages or _stages_in(*_pipeline_enhancers(loader.dataset))
        self._late = bool(stages) and not self._in_model and loader.num_workers > 0
        self._positions = sampled_positions(loader) if stages else []
        self._rest = iter(self._positions)
        self._stages = stages
        for stage in stages:
            stage.listeners.append(self._hear)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._open = True

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Any
    ) -> None:
        places = list(islice(self._rest, len(outputs or [])))
        if len(self._heard) >= len(places):
            self._own.update(zip(places, self._heard, strict=False))
        self._heard = []
        # A stage in the pipeline is asked for the next batch before that iteration begins.
        self._open = not self._in_model

    def after_test(self, runner: Runner) -> None:
        if self._late:
            self._load_again(runner.test_dataloader.dataset)
        for stage in self._stages:
            stage.listeners.remove(self._hear)
        self._stages = []
        parts = collect_results([self._own], get_world_size())
        if parts is not None:
            self.found = {place: each for part in parts for place, each in part.items()}

    def _hear(self, decision: Decision) -> None:
        if self._open:
            self._heard += [ImageDecision.of(decision, i) for i in range(len(decision.gain))]

    def _load_again(self, dataset: Any) -> None:
        self._open = True
        for place in self._positions:
            self._heard = []
            with torch.no_grad():
                dataset[place]
            if self._heard:
                self._own[place] = self._heard[0]


def _pipeline_enhancers(dataset: Any) -> list[nn.Module]:
    pipelines = (getattr(each, 'pipeline', None) for each in data_sets_in(dataset))
    steps = (step for each in pipelines for step in getattr(each, 'transforms', []))
    return [step.enhancer for step in steps if isinstance(step, EnhanceImage | RawAndEnhanced)]


def _stages_in(*models: nn.Module) -> list[AdaptiveSCIEnhancer]:
    """The adaptive stages in models or enhancers, each once."""
    modules = (module for model in models for module in model.modules())
    return list(dict.fromkeys(each for each in modules if isinstance(each, AdaptiveSCIEnhancer)))
