"""Nets of one shape as one: the losses, the gradients, the running averages and the accuracies of each by itself."""

import copy

import pytest
import tiny_children as tiny
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib.fit import accuracy
from mini_lib.stacked import accuracies_together, losses_together, stack, unstack

NETS = [tiny.build(seed).double() for seed in range(3)]
IMAGES = torch.randn(3, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.arange(18).reshape(3, 6) % 4
# Sums of at most 64 * 6 products of size 10 in doubles: 384 * 10 * 2**-53 = 4e-13. Another net would be off by 0.1.
CLOSE = {"atol": 1e-11, "rtol": 0.0}


def test_unstack_undoes_stack_and_copies():
    stacked = stack([net.state_dict() for net in NETS])
    for number, net in enumerate(NETS):
        for name, tensor in unstack(stacked, number).items():
            assert torch.equal(tensor, net.state_dict()[name])
            assert tensor.data_ptr() != stacked[name][number].data_ptr()


@pytest.mark.parametrize("soft", [False, True])
def test_each_net_has_the_loss_and_the_gradient_that_it_has_alone(soft):
    stacked = stack([net.state_dict() for net in NETS])
    for name, _ in NETS[0].named_parameters():
        stacked[name].requires_grad_()
    labels = F.one_hot(LABELS, 4).double() * 0.8 + 0.05 if soft else LABELS
    losses = losses_together(copy.deepcopy(NETS[0]).train(), stacked, IMAGES, labels)
    losses.sum().backward()
    for number, net in enumerate(NETS):
        alone = copy.deepcopy(net).train()
        loss = F.cross_entropy(alone(IMAGES[number]), labels[number])
        loss.backward()
        assert torch.allclose(losses[number], loss, **CLOSE)
        for name, weight in alone.named_parameters():
            assert torch.allclose(stacked[name].grad[number], weight.grad, **CLOSE)
        for name, average in alone.named_buffers():  # the running averages moved, each by its own batch
            assert torch.allclose(stacked[name][number].double(), average.double(), **CLOSE)


def test_each_net_has_the_accuracy_that_it_has_alone():
    nets = [tiny.build(seed).train() for seed in range(3)]
    split = tiny.pictures(count=600, seed=1)  # more than one batch of 500
    stacked = stack([net.state_dict() for net in nets])
    together = accuracies_together(nets[0], stacked, split)
    # A net that has not learned has logits far enough apart: no picture hangs on a rounding.
    assert together == [accuracy(net, split) for net in nets] and len(set(together)) > 1
    assert nets[0].training and stacked["1.num_batches_tracked"].tolist() == [0, 0, 0]


def test_the_weights_of_the_model_that_gives_the_shape_do_not_matter():
    other = tiny.build(9).double()
    with torch.no_grad():
        for weight in other.parameters():
            weight.fill_(float("nan"))
    losses = [
        losses_together(model.train(), stack([net.state_dict() for net in NETS]), IMAGES, LABELS)
        for model in (other, nn.Sequential(*copy.deepcopy(NETS[0])))
    ]
    assert torch.equal(*losses)
