# The recipe of the authors' code: whole images one by one, Adam 3e-4, 1000 epochs.
_base_ = [
    '_base_/learner.py', '_base_/lol.py', '_base_/lol_test.py', '_base_/adam.py',
    '_base_/runtime.py'
]
train_cfg = dict(by_epoch=True, max_epochs=1000)
