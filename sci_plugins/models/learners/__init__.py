"""Training an enhancer without labels."""

from sci_plugins.models.learners.self_calibrated import SelfCalibratedLearner, SelfCalibrator, Stage

__all__ = ['SelfCalibratedLearner', 'SelfCalibrator', 'Stage']
