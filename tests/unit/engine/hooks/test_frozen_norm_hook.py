"""BatchNorm keeps its statistics; all else is trained."""

from pathlib import Path

import torch

from sci_plugins.engine.hooks import FrozenNormHook
from tests.tiny_training import make_config, make_runner


def test_statistics_stay_and_scales_are_trained(tmp_path: Path) -> None:
    runner = make_runner(make_config(tmp_path))
    runner.register_hook(FrozenNormHook())
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    same = {key for key, value in after.items() if torch.equal(value, before[key])}
    statistics = {key for key in after if key.endswith(('running_mean', 'running_var', 'tracked'))}
    assert len(statistics) == 12
    assert statistics <= same
    assert 'estimator.block_norm.weight' not in same
    assert runner.model.training
