"""Lesson 03, exercise 3.8: the loss of a network that learns from another one."""

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn import functional as F

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import of_tensors, variants

# 3.8 ------------------------------------------------------------------------------------------------


def distillation_loss(logits: Tensor, teacher: Tensor, labels: Tensor, temperature: float, share: float) -> Tensor:
    """(1 - share) * cross-entropy + share * temperature² * KL(teacher || student), both softened by the temperature."""
    soft = _kl(teacher / temperature, logits / temperature)
    return (1 - share) * F.cross_entropy(logits, labels) + share * temperature**2 * soft


def _kl(target: Tensor, other: Tensor) -> Tensor:
    """KL divergence of softmax(other) from softmax(target): mean over pictures, in nats."""
    log_target, log_other = F.log_softmax(target, dim=1), F.log_softmax(other, dim=1)
    return (log_target.exp() * (log_target - log_other)).sum(dim=1).mean()


def _by_torch(logits, teacher, labels, temperature, share):
    soft = F.kl_div(
        F.log_softmax(logits / temperature, dim=1), F.softmax(teacher / temperature, dim=1), reduction="batchmean"
    )
    return share * temperature**2 * soft + (1 - share) * F.nll_loss(F.log_softmax(logits, dim=1), labels)


def _in_numpy(logits, teacher, labels, temperature, share):
    def softmax(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    z, t = logits.numpy().astype(np.float64), teacher.numpy().astype(np.float64)
    p, q = softmax(t / temperature), softmax(z / temperature)
    soft = (p * np.log(p / q)).sum(axis=1).mean()
    hard = -np.log(softmax(z)[np.arange(len(z)), labels.numpy()]).mean()
    return (1 - share) * hard + share * temperature**2 * soft


def _mixed(logits, labels, share, soft):
    return (1 - share) * F.cross_entropy(logits, labels) + share * soft


def _case(generator: torch.Generator) -> Case:
    count, classes = random_whole(generator, 2, 4), random_whole(generator, 3, 5)
    logits = (2 * torch.randn(count, classes, generator=generator)).round(decimals=1)
    teacher = (4 * torch.randn(count, classes, generator=generator)).round(decimals=1)
    labels = torch.randint(classes, (count,), generator=generator)
    temperature = float(random_whole(generator, 2, 6))
    return Case(logits, teacher, labels, temperature, random_whole(generator, 1, 9) / 10)


DISTILLATION_LOSS = Exercise(
    id="3.8",
    title="A teacher's soft answers",
    reference=distillation_loss,
    cases=(
        Case(tensor([[0.0, 0.0]]), tensor([[2.0, 0.0]]), tensor([0]), 1.0, 1.0),
        Case(tensor([[0.0, 0.0]]), tensor([[2.0, 0.0]]), tensor([0]), 2.0, 1.0),
        Case(tensor([[1.0, 0.0]]), tensor([[2.0, 0.0]]), tensor([1]), 2.0, 0.25),
        Case(tensor([[1.0, 0.0], [0.0, 3.0]]), tensor([[2.0, 0.0], [1.0, 0.0]]), tensor([0, 1]), 4.0, 0.5),
        *random_cases(8, seed=38, make=_case),
    ),
    mistakes=(
        Mistake(
            lambda z, t, y, temperature, share: _mixed(z, y, share, _kl(t / temperature, z / temperature)),
            "Softened twice by the temperature, the gradient shrinks with its square: multiply the soft part by "
            "temperature**2, or the labels decide alone.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(z, y, share, temperature**2 * _kl(t / temperature, z)),
            "Only the teacher is softened. Compare like with like: the student's logits are divided by the temperature "
            "too.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z, y, share, temperature**2 * _kl(z / temperature, t / temperature)
            ),
            "The two are swapped: the teacher's probabilities are the weights of the sum, KL(teacher || student).",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z,
                y,
                share,
                temperature**2
                * F.kl_div((z / temperature).log_softmax(1), (t / temperature).softmax(1), reduction="mean"),
            ),
            "That is the mean over pictures *and* classes. Sum over the classes, then take the mean over pictures: "
            'reduction="batchmean".',
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z / temperature, y, share, temperature**2 * _kl(t / temperature, z / temperature)
            ),
            "The labels are compared with the student as it is, at temperature 1. Only the soft part is softened.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z, y, 1 - share, temperature**2 * _kl(t / temperature, z / temperature)
            ),
            "The shares are swapped: `share` is the teacher's, and the labels get the rest.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z, y, share, temperature**2 * F.cross_entropy(z / temperature, t.argmax(dim=1))
            ),
            "That keeps only the teacher's first choice. Its knowledge is how likely it finds *each* class.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z, y, share, temperature**2 * F.cross_entropy(z / temperature, (t / temperature).softmax(1))
            ),
            "That is the cross-entropy with the teacher's soft answer. Its gradient is the same, but KL also subtracts "
            "how unsure the teacher itself is: sum p * (log p - log q).",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z, y, share, temperature * _kl(t / temperature, z / temperature)
            ),
            "One factor is missing. Softening divides by the temperature twice: multiply by its square.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: _mixed(
                z,
                y,
                share,
                temperature**2
                * F.kl_div((z / temperature).softmax(1), (t / temperature).softmax(1), reduction="batchmean"),
            ),
            "The first argument of `kl_div` is a *logarithm* of probabilities: use log_softmax for the student.",
        ),
        Mistake(
            lambda z, t, y, temperature, share: (
                temperature**2 * _mixed(z, y, share, _kl(t / temperature, z / temperature))
            ),
            "The labels are multiplied by temperature**2 too. The factor belongs to the soft part only.",
        ),
    ),
    symptoms=(
        variants(
            "Both answers are softened, teacher and student: divide the *logits* by the temperature first.",
            *(
                lambda logits, teacher, labels, temperature, share, soft=soft, power=power: _mixed(
                    logits, labels, share, temperature**power * soft(logits, teacher, temperature)
                )
                for power in (2, 0)
                for soft in (
                    lambda z, t, temperature: _kl(t, z / temperature),
                    lambda z, t, temperature: _kl(t, z),
                    lambda z, t, temperature: _kl(t * temperature, z * temperature),
                    lambda z, t, temperature: _kl(t.softmax(1) / temperature, z.softmax(1) / temperature),
                )
            ),
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, _kl(teacher / temperature, logits)
            ),
            rtol=1e-4,
        ),
        variants(
            "The soft part is multiplied by temperature**2, by no other power of it.",
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, temperature**-2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, 2 * temperature * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, _kl(teacher / temperature, logits / temperature) / temperature
            ),
            rtol=1e-4,
        ),
        of_tensors(
            lambda got, expected, a: got.ndim > 0,
            "The loss is one number: the two parts added up, each of them a mean over the pictures.",
            (
                lambda z, t, y, temperature, share: y + distillation_loss(z, t, y, temperature, share),
                lambda logits, teacher, labels, temperature, share: (
                    (1 - share) * F.cross_entropy(logits, labels),
                    share * temperature**2 * _kl(teacher / temperature, logits / temperature),
                ),
            ),
        ),
        variants(
            "The label part is a mean over the pictures too.",
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.cross_entropy(logits, labels, reduction="sum")
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            rtol=1e-4,
        ),
        variants(
            "KL is a sum over the classes of a picture, and then the mean over pictures, as for the labels.",
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, len(labels) * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                len(labels) * distillation_loss(logits, teacher, labels, temperature, share)
            ),
            rtol=1e-4,
        ),
        variants(
            "The two parts are weighted: 1 - share for the labels, and share for the teacher.",
            lambda logits, teacher, labels, temperature, share: (
                F.cross_entropy(logits, labels)
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                F.cross_entropy(logits, labels) + temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.cross_entropy(logits, labels)
                + temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            rtol=1e-4,
        ),
        variants(
            "The loss has two parts, and the labels are one of them: the cross-entropy of the student's own logits.",
            lambda logits, teacher, labels, temperature, share: (
                temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.cross_entropy(teacher, labels)
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            rtol=1e-4,
        ),
        variants(
            "`cross_entropy` takes logits, and applies the softmax itself.",
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.cross_entropy(logits.softmax(1), labels)
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.nll_loss(logits.softmax(1), labels)
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            lambda logits, teacher, labels, temperature, share: (
                (1 - share) * F.nll_loss(logits, labels)
                + share * temperature**2 * _kl(teacher / temperature, logits / temperature)
            ),
            rtol=1e-4,
        ),
        variants(
            "KL(p || q) is the sum of p * ln(p / q), with the natural logarithm and p the teacher's: yours is a "
            "different sum.",
            *(
                lambda logits, teacher, labels, temperature, share, soft=soft: _mixed(
                    logits, labels, share, temperature**2 * soft(logits / temperature, teacher / temperature)
                )
                for soft in (
                    lambda z, t: -_kl(t, z),
                    lambda z, t: 1.4426950408889634 * _kl(t, z),
                    lambda z, t: _kl(t, z) + _kl(z, t),
                    lambda z, t: (t.softmax(1) * z.log_softmax(1)).sum(1).mean(),
                    lambda z, t: F.mse_loss(z, t),
                    lambda z, t: F.mse_loss(z.softmax(1), t.softmax(1)),
                    lambda z, t: F.kl_div(z.log_softmax(1), t.log_softmax(1), reduction="batchmean"),
                )
            ),
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, temperature**2 * F.mse_loss(logits, teacher)
            ),
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, F.mse_loss(logits, teacher)
            ),
            rtol=1e-4,
        ),
        variants(
            "The probabilities of one picture add up to 1: the softmax is over the classes, dim=1.",
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits,
                labels,
                share,
                temperature**2
                * F.kl_div(
                    (logits / temperature).log_softmax(0), (teacher / temperature).softmax(0), reduction="batchmean"
                ),
            ),
            rtol=1e-4,
        ),
        variants(
            'Two slips: temperature**2 is missing, and KL is summed over the classes: reduction="batchmean".',
            lambda logits, teacher, labels, temperature, share: _mixed(
                logits, labels, share, _kl(teacher / temperature, logits / temperature) / logits.shape[1]
            ),
            rtol=1e-4,
        ),
    ),
    also_correct=(_by_torch, _in_numpy),
    rtol=1e-4,
)
