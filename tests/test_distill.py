"""Distillation: its loss against torch's, its limit at high temperature, a teacher that stays as it is, bad input."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mini_lib import distill, fit
from mini_lib.data import Split

IMAGES = torch.zeros(6, 1)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


class Says(nn.Module):
    """A teacher of fixed logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images):
        return self.logits


def logits(seed, classes=4, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(len(LABELS), classes, generator=generator, dtype=dtype)).requires_grad_()


def blobs(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(240) % 2
    return Split(torch.tensor([[-2.0, 0.0], [2.0, 0.0]])[labels] + torch.randn(240, 2, generator=generator), labels)


# --- the loss ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(0.25, 20), st.floats(0, 1))
def test_it_is_torchs_divergence_and_cross_entropy(seed, temperature, share):
    student, taught = logits(seed), logits(seed + 1)
    got = distill.distillation(Says(taught), temperature=temperature, share=share)(student, IMAGES, LABELS)
    log_p, log_q = (F.log_softmax(each / temperature, dim=1) for each in (taught, student))
    divergence = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    expected = share * temperature**2 * divergence + (1 - share) * F.cross_entropy(student, LABELS)
    # float64 sums of 24 terms below 1e4 (T^2 = 400, log-probabilities at T = 20 below 25): 24 * 1e4 * 2^-53 = 3e-11
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=3e-11)


def test_a_share_of_nothing_is_plain_training_and_of_one_does_without_labels():
    student, teacher = logits(0), Says(logits(1))
    plain = distill.distillation(teacher, temperature=3.0, share=0.0)(student, IMAGES, LABELS)
    assert plain == fit.cross_entropy(student, IMAGES, LABELS)
    alone = distill.distillation(teacher, temperature=3.0, share=1.0)
    assert alone(student, IMAGES, LABELS) == alone(student, IMAGES, LABELS.flip(0))


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    student = logits(0)
    loss = distill.distillation(Says(student.detach()), temperature=2.0, share=1.0)(student, IMAGES, LABELS)
    loss.backward()
    assert loss == 0 and student.grad.abs().max() < 1e-15


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_is_t_times_the_difference_of_the_soft_answers(temperature):
    """d KL / dz = (q - p) / T, from d log_softmax; times T^2, and a mean over N pictures."""
    student, taught = logits(0), logits(1).detach()
    distill.distillation(Says(taught), temperature=temperature, share=1.0)(student, IMAGES, LABELS).backward()
    q, p = (torch.softmax(each.detach() / temperature, dim=1) for each in (student, taught))
    torch.testing.assert_close(student.grad, temperature * (q - p) / len(LABELS), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("temperature", [1e2, 1e3, 1e4])
def test_at_a_high_temperature_it_matches_logits(temperature):
    """T^2 KL -> mean over classes of (z - v)^2 / 2, z and v the logits less their mean.

    Expand in x = z / T: log sum exp(x) = log K + mean(x) + var(x) / 2 + third cumulant / 6 + ... KL is the Bregman
    divergence of that, so its second-order term is var(x - y) / 2, and T^2 times it is the limit. What is left is of
    third order. A third cumulant is at most 8 max|x|^3; divided by 6, and taken three times in the divergence, it is
    4 max|x|^3. Logits stay below 12, so T^2 times it is at most 4 * 12^3 / T.
    """
    student, taught = logits(0).detach(), logits(1).detach()
    assert max(student.abs().max(), taught.abs().max()) < 12
    got = distill.distillation(Says(taught), temperature=temperature, share=1.0)(student, IMAGES, LABELS)
    apart = (student - student.mean(1, keepdim=True)) - (taught - taught.mean(1, keepdim=True))
    limit = apart.square().mean() / 2
    assert abs(got - limit) < 4 * 12**3 / temperature
    assert temperature < 1e4 or abs(got / limit - 1) < 1e-2


def test_without_t_squared_the_gradient_would_vanish():
    """Its size at T = 100 and at T = 1000 is the same to 1%; without T^2 it would be a hundredth."""
    sizes = []
    for temperature in (100.0, 1000.0):
        student = logits(0)
        loss = distill.distillation(Says(logits(1)), temperature=temperature, share=1.0)
        loss(student, IMAGES, LABELS).backward()
        sizes.append(student.grad.norm())
    # The next order of softmax(z / T) is |z| / T relative to the first, and logits are below 12, for both models.
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=2 * 12 / 100)


@given(st.integers(0, 10_000), st.floats(0, 0.99))
def test_label_smoothing_is_torchs(seed, amount):
    student = logits(seed)
    got = distill.label_smoothing(amount)(student, IMAGES, LABELS)
    torch.testing.assert_close(got, F.cross_entropy(student, LABELS, label_smoothing=amount), rtol=1e-12, atol=1e-13)


def test_label_smoothing_is_a_teacher_that_sees_no_pictures():
    """Both differ by the entropy of the smooth labels, which no weight changes: their gradients are equal."""
    amount, student, again = 0.2, logits(0), logits(0)
    smooth = (1 - amount) * F.one_hot(LABELS, 4).double() + amount / 4
    distill.label_smoothing(amount)(student, IMAGES, LABELS).backward()
    distill.distillation(Says(smooth.log()), temperature=1.0, share=1.0)(again, IMAGES, LABELS).backward()
    torch.testing.assert_close(student.grad, again.grad, rtol=1e-12, atol=1e-14)


# --- the teacher ---------------------------------------------------------------------------------------------------


def net(seed=0, classes=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, classes))


def test_the_teacher_is_asked_in_evaluation_mode_and_left_as_it_was():
    teacher = net().train()
    teacher[1].eval()
    before, modes = copy.deepcopy(teacher.state_dict()), [module.training for module in teacher.modules()]
    split, student = blobs(0), net(1)
    loss = distill.distillation(teacher, temperature=2.0, share=0.5)
    fit.fit(student, split, split, epochs=1, seed=0, learning_rate=0.01, loss=loss)
    assert [module.training for module in teacher.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert all(weight.grad is None for weight in teacher.parameters())
    frozen = student(split.images[:4]).detach()
    again = [loss(frozen, split.images[:4], split.labels[:4]) for _ in range(2)]
    assert again[0] == again[1]  # dropout of a half would tell


def test_a_student_learns_from_a_teacher_without_labels():
    split, held_out = blobs(0), blobs(1)
    teacher = fit.fit(net(), split, held_out, epochs=20, seed=0, learning_rate=0.02).model
    upside_down = Split(split.images, 1 - split.labels)  # labels that would teach the opposite
    loss = distill.distillation(teacher, temperature=2.0, share=1.0)
    student = fit.fit(net(1), upside_down, held_out, epochs=20, seed=0, learning_rate=0.02, loss=loss).model
    # The centres are four standard deviations apart: 2.3% err, 5.5 of 240, and 20 would be six deviations beyond.
    assert fit.accuracy(student, held_out) > 1 - 20 / 240


def test_it_draws_no_random_numbers():
    split, student = blobs(0), torch.zeros(240, 2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    distill.distillation(net().train(), temperature=2.0, share=0.5)(student, split.images, split.labels)
    assert torch.rand(1) == expected


# --- ensembles -----------------------------------------------------------------------------------------------------


def test_an_ensemble_means_logits_at_every_temperature():
    models, images = [net(seed).eval() for seed in range(3)], blobs(0).images[:5]
    with torch.no_grad():
        each = torch.stack([model(images) for model in models])
        got = distill.mean_of(models)(images)
    torch.testing.assert_close(got, each.sum(0) / 3)
    # the geometric mean of the softened probabilities, brought back to a sum of 1
    for temperature in (1.0, 4.0):
        product = torch.softmax(each / temperature, dim=2).prod(dim=0) ** (1 / 3)
        expected = product / product.sum(dim=1, keepdim=True)
        torch.testing.assert_close(torch.softmax(got / temperature, dim=1), expected)


def test_an_ensemble_is_a_copy_in_evaluation_mode():
    model, images = net().train(), blobs(0).images[:5]
    ensemble = distill.mean_of([model])
    assert model.training and not any(module.training for module in ensemble.modules())
    before = ensemble(images)
    nn.init.zeros_(model[0].weight)
    assert torch.equal(ensemble(images), before)


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"teacher": "zoo"}, TypeError, "teacher must be an nn.Module that gives logits, got str"),
        ({"temperature": 0.0}, ValueError, "temperature must be a finite number above 0, got 0.0; 2 to 5 are common"),
        ({"temperature": math.inf}, ValueError, "temperature must be a finite number above 0, got inf"),
        ({"share": 1.5}, ValueError, r"share must lie in \[0, 1\], got 1.5; 0.5 listens"),
        ({"share": math.nan}, ValueError, r"share must lie in \[0, 1\], got nan"),
        ({"share": True}, TypeError, r"share must be a number in \[0, 1\], got True"),
    ],
)
def test_settings_that_make_no_sense(changes, error, message):
    settings = {"teacher": net(), "temperature": 2.0, "share": 0.5} | changes
    with pytest.raises(error, match=message):
        distill.distillation(settings.pop("teacher"), **settings)


def test_a_teacher_of_other_classes():
    loss = distill.distillation(net(classes=3), temperature=2.0, share=0.5)
    with pytest.raises(
        ValueError, match=r"the teacher gives logits \[4, 3\] and the student \[4, 2\]; both need the same"
    ):
        loss(torch.zeros(4, 2), torch.zeros(4, 2), LABELS[:4] % 2)


def test_a_teacher_that_is_broken():
    loss = distill.distillation(Says(torch.full((6, 4), math.nan)), temperature=2.0, share=0.5)
    with pytest.raises(ValueError, match="the teacher's logits are not all finite; check its weights"):
        loss(logits(0), IMAGES, LABELS)


@pytest.mark.parametrize("amount", [-0.1, 1.0, math.nan])
def test_an_amount_that_smooths_nothing_or_all(amount):
    with pytest.raises(ValueError, match=r"amount must lie in \[0, 1\), got .*; 0.1 is common"):
        distill.label_smoothing(amount)


def test_ensembles_that_are_none():
    with pytest.raises(ValueError, match="an ensemble needs at least one model, got none; give some"):
        distill.mean_of([])
    with pytest.raises(TypeError, match="each model of an ensemble must be an nn.Module that gives logits, got int"):
        distill.mean_of([3])
    with pytest.raises(ValueError, match=r"logits of one shape, got \[\(4, 2\), \(4, 3\)\]; leave one out"):
        distill.mean_of([net(), net(classes=3)])(torch.zeros(4, 2))


def test_a_teacher_that_gives_no_tensor_is_refused():
    loss = distill.distillation(nn.LSTM(2, 2), temperature=1.0, share=0.5)
    with pytest.raises(TypeError, match="the teacher must give a tensor of logits, got tuple; wrap it in a module"):
        loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))


def test_losses_take_the_shares_of_mixed_pictures():
    logits, classes = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    hot = F.one_hot(classes, 3).double()
    for loss in (distill.label_smoothing(0.1), distill.distillation(nn.Flatten(), temperature=2.0, share=0.5)):
        taught = torch.randn(4, 3, dtype=torch.float64)
        torch.testing.assert_close(loss(logits, taught, hot), loss(logits, taught, classes))
