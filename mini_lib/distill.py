"""Knowledge distillation: a student learns what its teacher thinks of each picture, not only its label.

A label says "shirt". A trained teacher says "shirt, though nearly a T-shirt, and no sandal at all": ten numbers per
picture instead of one. The student's answer q is drawn towards the teacher's p, both softened by a temperature T,

    p = softmax(teacher's logits / T)        q = softmax(student's logits / T)

    loss = share * T^2 * KL(p || q) + (1 - share) * cross-entropy with the labels

so that the small probabilities, which say how alike the classes are, count as well. The gradient of KL(p || q) with
respect to a logit is (q - p) / T, and q - p itself shrinks with 1 / T: T^2 keeps the two parts in balance when the
temperature changes. For large T the first part tends to mean((z - v)^2) / 2, with z and v the logits of the two, each
less their mean: the student copies logits.

The gain from a teacher must be compared with methods that need none: the same number of steps without a teacher, and
`label_smoothing`, which also keeps a student from being too sure, but knows nothing about the pictures.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib import require
from mini_lib.calibration import run_model
from mini_lib.copying import copied
from mini_lib.counting import evaluating
from mini_lib.fit import Loss


def distillation(teacher: nn.Module, *, temperature: float, share: float) -> Loss:
    """Return the loss of a student of `teacher`, for `fit(student, ..., loss=...)`.

    The teacher sees the pictures that the student saw, in evaluation mode and without gradients. Nothing about it
    changes, and each of its modules is left in the mode that it had. A teacher that is slow can be asked once per
    picture and looked up afterwards, as long as the pictures do not change (no augmentation).

    Args:
        teacher: gives logits [N, classes], as many classes as the student.
        temperature: T > 0; 1 leaves the probabilities as they are, a high temperature evens them out.
        share: the weight of the teacher, in [0, 1]; 1 does without labels, 0 without the teacher.

    Raises:
        TypeError: the teacher is not a module or gives no tensor, or a setting is not a number.
        ValueError: the temperature is not positive or the share outside [0, 1]; and from the loss: the teacher's logits
            have another shape than the student's, or are not finite.

    At T = 2 the teacher's logits (2 ln 3, 0) become p = (3/4, 1/4), and the student's (0, 0) become q = (1/2, 1/2):
    4 * (3/4 * ln(3/2) + 1/4 * ln(1/2)) = 0.5232

    >>> teacher = nn.Linear(1, 2)
    >>> _ = teacher.weight.data.zero_(), teacher.bias.data.copy_(torch.tensor([2 * torch.tensor(3.0).log(), 0.0]))
    >>> loss = distillation(teacher, temperature=2.0, share=1.0)
    >>> loss(torch.zeros(1, 2), torch.zeros(1, 1), torch.tensor([0])).round(decimals=4)
    tensor(0.5232)

    Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    _need_module("teacher", teacher)
    temperature = require.positive("temperature", temperature, fix="2 to 5 are common")
    share = require.share("share", share, zero=True, fix="0.5 listens to teacher and labels alike")

    def loss(logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        with evaluating(teacher):
            taught = _like(logits, run_model(teacher, images))
        log_p = F.log_softmax(taught / temperature, dim=1)
        log_q = F.log_softmax(logits / temperature, dim=1)
        divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()
        return share * temperature**2 * divergence + (1 - share) * F.cross_entropy(logits, labels)

    return loss


def label_smoothing(amount: float) -> Loss:
    """Return the cross-entropy with labels that are spread: each class gets amount / classes, the right one the rest.

    It is a teacher that thinks the same of every picture of a class, and so the control for a teacher that looks at
    them.

    Raises:
        TypeError: the amount is not a number.
        ValueError: it lies outside [0, 1).

    Two classes and logits (ln 3, 0), so that q = (3/4, 1/4). Half of each label is spread, which leaves 3/4 and 1/4:
    3/4 * ln(4/3) + 1/4 * ln 4 = 0.5623

    >>> logits = torch.tensor([[3.0, 1.0]]).log()
    >>> label_smoothing(0.5)(logits, torch.zeros(1, 1), torch.tensor([0])).round(decimals=4)
    tensor(0.5623)

    Source: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    """
    amount = require.share("amount", amount, zero=True, one=False, fix="0.1 is common, 0 leaves the labels as they are")

    def loss(logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        spread = -F.log_softmax(logits, dim=1).mean()  # the cross-entropy with 1 / classes for each class
        return (1 - amount) * F.cross_entropy(logits, labels) + amount * spread

    return loss


def mean_of(models: Sequence[nn.Module]) -> nn.Module:
    """Return an ensemble as one model in evaluation mode, whose logits are the means of those of `models`.

    The models are copied. Means of logits are, once softmax is applied, geometric means of probabilities, and they stay
    so at every temperature: softening the ensemble is the same as softening its members.

    Raises:
        TypeError: one of them is not a module, or `models` is a single module.
        ValueError: there is no model, or one cannot be copied (`copying.copied`); and, when the ensemble is called,
            their logits differ in shape.

    >>> one, other = nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Threshold(9.0, 3.0))      # x, and 3 whatever x is
    >>> mean_of([one, other])(torch.tensor([[1.0, 5.0]]))
    tensor([[2., 4.]])

    Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015, section 1.
    """
    if isinstance(models, nn.Module) or not isinstance(models, Iterable):
        raise TypeError(f"models must be several, got {type(models).__name__}; write [model, other]")
    models = list(models)
    if not models:
        raise ValueError("an ensemble needs at least one model, got none; give some, such as zoo.load(name, seed)")
    for model in models:
        _need_module("each model of an ensemble", model)
    return _Mean([copied(model) for model in models]).eval()


class _Mean(nn.Module):
    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: Tensor) -> Tensor:
        logits = [model(images) for model in self.models]
        shapes = sorted({tuple(each.shape) for each in logits})
        if len(shapes) > 1:
            raise ValueError(f"the models of an ensemble must give logits of one shape, got {shapes}; leave one out")
        return torch.stack(logits).mean(dim=0)


def _like(logits: Tensor, taught: Tensor) -> Tensor:
    """Return the teacher's logits after checking that they can be compared with the student's."""
    if not isinstance(taught, Tensor):
        raise TypeError(f"the teacher must give a tensor of logits, got {type(taught).__name__}; wrap it in a module")
    if taught.shape != logits.shape:
        raise ValueError(
            f"the teacher gives logits {list(taught.shape)} and the student {list(logits.shape)}; both need the same "
            "classes, so give one of them another last layer"
        )
    if not taught.isfinite().all():
        raise ValueError("the teacher's logits are not all finite; check its weights, and the images that it saw")
    return taught


def _need_module(name: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be an nn.Module that gives logits, got {type(model).__name__}")
