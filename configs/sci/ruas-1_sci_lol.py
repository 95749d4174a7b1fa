# One unrolled iteration instead of three. All else is ruas-3_sci_lol.
_base_ = ['ruas-3_sci_lol.py']
model = dict(estimator=dict(iterations=1))
