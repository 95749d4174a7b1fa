"""Modules that configs build; those that need a host are imported on demand."""

from sci_plugins.models import enhancers, learners, losses, test_time

__all__ = ['enhancers', 'learners', 'losses', 'test_time']
