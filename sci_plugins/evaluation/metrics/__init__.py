"""Metrics for MMEngine's evaluator."""

from sci_plugins.evaluation.metrics.darkface import DarkFaceMetric

__all__ = ['DarkFaceMetric']
