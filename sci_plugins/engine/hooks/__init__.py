"""Hooks for MMEngine's Runner, one a file."""

from sci_plugins.engine.hooks.channel_symmetry_hook import ChannelSymmetryHook
from sci_plugins.engine.hooks.enhancement_loss_hook import EnhancementLossHook
from sci_plugins.engine.hooks.export_enhancer_hook import ExportEnhancerHook
from sci_plugins.engine.hooks.sample_keeper_hook import KeptSample, SampleKeeperHook
from sci_plugins.engine.hooks.test_progress_hook import TestProgressHook

__all__ = [
    'ChannelSymmetryHook',
    'EnhancementLossHook',
    'ExportEnhancerHook',
    'KeptSample',
    'SampleKeeperHook',
    'TestProgressHook',
]
