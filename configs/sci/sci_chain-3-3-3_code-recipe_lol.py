# Another width or depth: one 3x3 convolution a hyphen. All else is sci_code-recipe_lol.
_base_ = ['sci_code-recipe_lol.py']
model = dict(estimator=dict(layers=0, channels=3))
# The estimator's residual block is not used: DistributedDataParallel has to know.
find_unused_parameters = True
