"""Modules that configs build; what needs a host imports when asked for by name."""

from sci_plugins.models import enhancers, learners, losses, test_time

__all__ = ['enhancers', 'learners', 'losses', 'test_time']
