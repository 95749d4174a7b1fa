"""Training an enhancer without labels."""

from sci_plugins.models.learners.calibrator import SelfCalibrator
from sci_plugins.models.learners.self_calibrated import SelfCalibratedLearner, Stage

__all__ = ['SelfCalibratedLearner', 'SelfCalibrator', 'Stage']
