"""Hooks for MMEngine's Runner, one per file."""

from sci_plugins.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from sci_plugins.engine.hooks.channel_symmetry_hook import ChannelSymmetryHook
from sci_plugins.engine.hooks.decisions_hook import DecisionsHook
from sci_plugins.engine.hooks.enhanced_pictures_hook import EnhancedPicturesHook
from sci_plugins.engine.hooks.enhancement_loss_hook import EnhancementLossHook
from sci_plugins.engine.hooks.export_enhancer_hook import ExportEnhancerHook
from sci_plugins.engine.hooks.finite_loss_hook import FiniteLossHook
from sci_plugins.engine.hooks.frozen_norm_hook import FrozenNormHook
from sci_plugins.engine.hooks.image_results_hook import ImageResult, ImageResultsHook
from sci_plugins.engine.hooks.sample_keeper_hook import (
    KeptSample,
    SampleKeeperHook,
    image_at,
    keep_sample,
)
from sci_plugins.engine.hooks.skipped_images_hook import SkippedImagesHook
from sci_plugins.engine.hooks.test_progress_hook import TestProgressHook

__all__ = [
    'AtomicCheckpointHook', 'ChannelSymmetryHook', 'DecisionsHook', 'EnhancedPicturesHook',
    'EnhancementLossHook', 'ExportEnhancerHook', 'FiniteLossHook', 'FrozenNormHook', 'ImageResult',
    'ImageResultsHook', 'KeptSample', 'SampleKeeperHook', 'SkippedImagesHook', 'TestProgressHook',
    'image_at', 'keep_sample',
]  # fmt: skip
