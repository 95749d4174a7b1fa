# The shortest chain: one convolution, no hidden layer. All else is sci_code-recipe_lol.
_base_ = ['sci_code-recipe_lol.py']
model = dict(estimator=dict(layers=0, channels=None))
