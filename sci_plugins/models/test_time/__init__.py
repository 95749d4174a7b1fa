"""Models for test time only."""

from sci_plugins.models.test_time.merge import RawEnhancedMerge

__all__ = ['RawEnhancedMerge']
