# The self-calibrated cascade, as in the authors' code.
model = dict(
    type='sci_plugins.SelfCalibratedLearner',
    estimator=dict(type='sci_plugins.SCIEnhancer', layers=1, channels=3),
    calibrator=dict(type='sci_plugins.SelfCalibrator', layers=3, channels=16),
    stages=3,
    loss=dict(type='sci_plugins.SCILoss', fidelity_weight=1.5, sigma=10.0))
