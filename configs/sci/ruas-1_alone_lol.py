# Without self-calibration: one stage, no calibrator. All else is ruas-1_sci_lol.
_base_ = ['ruas-1_sci_lol.py']
model = dict(stages=1)
