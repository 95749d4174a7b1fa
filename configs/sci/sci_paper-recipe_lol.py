# The recipe of the paper: batches of 8, Adam 1e-4, sigma 0.1 in the smoothness. What
# it leaves open (whole images, 1000 epochs, weight decay) is as in the authors' code.
_base_ = [
    '_base_/learner.py', '_base_/lol.py', '_base_/lol_test.py', '_base_/adam.py',
    '_base_/runtime.py'
]
model = dict(loss=dict(sigma=0.1))
train_dataloader = dict(batch_size=8, collate_fn=dict(mixed='crop'))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(by_epoch=True, max_epochs=1000)
