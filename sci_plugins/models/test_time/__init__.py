"""Models for test time only."""

from sci_plugins.models.test_time.merge import RawEnhancedMerge
from sci_plugins.models.test_time.select import RawEnhancedSelect

__all__ = ['RawEnhancedMerge', 'RawEnhancedSelect']
