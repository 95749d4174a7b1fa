# Without self-calibration: one stage, no calibrator. All else is ruas-3_sci_lol.
_base_ = ['ruas-3_sci_lol.py']
model = dict(stages=1)
