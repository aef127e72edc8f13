"""The one training loop of the course, the accuracy it is judged by, and the spread over seeds.

The loop takes training and validation data and no test data: what you choose, you choose on validation data.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib.answers import accuracy, need_classes, predict, share_correct
from mini_lib.batch import Augment, Batch, need_batch
from mini_lib.calibration import run_model
from mini_lib.copying import copied, need_module
from mini_lib.data import Split
from mini_lib.require import callable_, finite, not_negative, positive, shown, whole
from mini_lib.tensor_checks import need_tensor

__all__ = [
    "Epoch", "Fitted", "Loss", "Spread", "accuracy", "cross_entropy", "fit", "need_classes", "over_seeds", "predict",
]  # fmt: skip

# A loss of one batch: logits [N, classes], images [N, ...] as the model saw them, labels [N], or [N, classes] where an
# augmentation mixed pictures -> the mean, one number.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of -log(probability of the right class) in nats, the loss of `fit`; the images do not matter.

    Raises:
        TypeError: logits or labels are not tensors.
        ValueError: torch cannot compare them: the numbers of labels and rows differ, for example.

    >>> cross_entropy(torch.zeros(1, 8), torch.zeros(1, 1), torch.tensor([3])) / math.log(2)     # 1 of 8: three bits
    tensor(3.)
    """
    need_tensor("logits", logits, fix="pass what the model gives")
    need_tensor("labels", labels, floating=False, fix="pass the labels of the batch")
    try:
        return F.cross_entropy(logits, labels)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} of {labels.dtype} do not go together: {error}"
        ) from error


@dataclass(frozen=True)
class Epoch:
    """How one pass over the training data went. Losses are means per picture, accuracies lie in [0, 1].

    The training figures are gathered while the weights still move; the validation figures belong to the epoch's end.
    `train_loss` is the loss that was lowered, and `validation_loss` always the cross-entropy in nats: with a loss of
    your own the two are different quantities.
    """

    epoch: int  # counted from 1
    epochs: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch:>2}/{self.epochs}: train loss {self.train_loss:.3f}, accuracy "
            f"{self.train_accuracy:.1%}; validation loss {self.validation_loss:.3f}, accuracy "
            f"{self.validation_accuracy:.1%}"
        )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model, in evaluation mode, and how it got there."""

    model: nn.Module
    history: tuple[Epoch, ...]


def fit(
    model: nn.Module,
    train: Split,
    validation: Split,
    *,
    epochs: int,
    seed: int,
    learning_rate: float,
    batch_size: int = 128,
    weight_decay: float = 0.0,
    loss: Loss = cross_entropy,
    augment: Augment | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Return a trained copy of `model`; the argument stays as it is.

    AdamW lowers `loss(logits, images, labels)`, where the logits are `model(images)` [N, classes]: the cross-entropy
    unless another is given. The learning rate climbs to `learning_rate` over the first three tenths of the steps and
    falls to nearly zero afterwards (one cycle).
    `augment(batch, generator)` changes each training batch before the model sees it, but no validation picture.
    `seed` decides the order of the pictures, what `augment` draws and any dropout: the same seed gives the same weights
    on the same machine with the same number of threads, and the global random state is left as it was found. The order
    of the pictures does not depend on what `augment` draws.
    The weights returned are those of the last epoch. `progress` is called after each epoch, to move a progress bar, for
    example.

    Raises:
        TypeError: a split is not a `Split`, a setting or the seed is not a number, `loss` is not a function that gives
            a tensor, or `augment` is not a function that gives a `Batch`.
        ValueError: `epochs` or `batch_size` is below 1, the learning rate not positive, the weight decay negative; the
            model cannot be copied (`copying.copied`), has no trainable parameters, cannot be run on the pictures or
            gives no logits [N, classes], or NaN; a label lies beyond its classes; the loss is not one finite number
            with a gradient; or `augment` gives more pictures than it got, or fewer, or other classes.

    >>> dots = Split(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]))     # class 1 lies right of class 0
    >>> fitted = fit(nn.Linear(1, 2), dots, dots, epochs=10, seed=0, learning_rate=1.0)
    >>> fitted.history[-1].validation_accuracy
    1.0

    Source: I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2;
    L. Smith, N. Topin, "Super-Convergence", 2018, section 3.
    """
    _check(model, train, validation, loss, augment, progress)
    epochs = whole("epochs", epochs, low=1, fix="one epoch is one pass over the training data")
    batch_size = whole("batch_size", batch_size, low=1, fix="128 is a good start")
    learning_rate = positive("learning_rate", learning_rate, fix="0.003 is a good start")
    if learning_rate > torch.finfo(torch.float32).max:
        raise ValueError(f"learning_rate must fit into 32 bits, got {learning_rate:g}; 0.003 is a good start")
    weight_decay = not_negative("weight_decay", weight_decay, fix="0 leaves it out")
    seed = whole("seed", seed, fix="the same seed gives the same weights")
    # Convolutions on a CPU train faster with channels innermost in memory: small_cnn 2 to 4 times, measured here.
    model = copied(model).to(memory_format=torch.channels_last)
    steps = math.ceil(len(train) / batch_size)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, epochs=epochs, steps_per_epoch=steps, cycle_momentum=False
    )
    order = torch.Generator().manual_seed(seed)
    chance = _another_generator(seed)
    history = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for dropout and the like, which know only the global generator
        for epoch in range(1, epochs + 1):
            model.train()
            loss_sum, correct = 0.0, 0
            for step, chosen in enumerate(torch.randperm(len(train), generator=order).split(batch_size), start=1):
                batch = Batch(train.images[chosen], train.labels[chosen])
                if augment is not None:
                    batch = _as_many(augment(batch, chance), batch)
                logits = run_model(model, batch.images)
                if augment is not None:
                    _need_known(batch, logits)
                now = _one_number(loss(logits, batch.images, batch.labels))
                if not now.isfinite():
                    raise ValueError(
                        f"the loss is {now.item()} in epoch {epoch}, step {step} of {steps}; check the images and "
                        f"weights for values that are not finite, or lower learning_rate ({learning_rate:g})"
                    )
                optimizer.zero_grad()
                now.backward()
                optimizer.step()
                schedule.step()
                loss_sum += now.item() * len(batch)
                correct += int((logits.argmax(dim=1) == batch.main_labels).sum())
            logits = predict(model, validation.images)
            row = Epoch(
                epoch=epoch,
                epochs=epochs,
                train_loss=loss_sum / len(train),
                train_accuracy=correct / len(train),
                validation_loss=F.cross_entropy(logits, validation.labels).item(),
                validation_accuracy=share_correct(logits, validation.labels),
            )
            history.append(row)
            if progress is not None:
                progress(row)
    return Fitted(model.to(memory_format=torch.contiguous_format).eval(), tuple(history))


@dataclass(frozen=True)
class Spread:
    """One figure measured several times, once per seed.

    Raises:
        TypeError: a value is not a number.
        ValueError: there is no value, or one that is not finite.

    >>> spread = Spread((0.90, 0.91, 0.92))
    >>> round(spread.mean, 4), round(spread.std, 4)                # deviations -.01, 0, .01: sqrt(.0002 / 2) = .01
    (0.91, 0.01)
    >>> print(spread)
    91.0 ± 1.0 % (3 seeds)
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, Iterable):
            raise TypeError(f"a spread needs several values, got {shown(self.values)}; give one for each seed")
        fix = "find out why a run failed"
        object.__setattr__(self, "values", tuple(finite("each value of a spread", one, fix=fix) for one in self.values))
        if not self.values:
            raise ValueError("a spread needs at least one value, got none; give one for each seed")

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """The sample standard deviation (divided by n - 1); nan for a single value, which has no spread."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        """The share as a percentage."""
        if len(self.values) == 1:
            return f"{100 * self.mean:.1f} % (1 seed)"
        return f"{100 * self.mean:.1f} ± {100 * self.std:.1f} % ({len(self.values)} seeds)"


def over_seeds(measure: Callable[[int], float], seeds: Iterable[int] = (0, 1, 2)) -> Spread:
    """Return what `measure(seed)` gives for each seed, as mean and spread.

    Raises:
        TypeError: `measure` cannot be called or gives no number, or the seeds are not several whole numbers.
        ValueError: there is no seed, or a value is not finite.

    >>> print(over_seeds(lambda seed: 0.5 + 0.1 * seed))
    60.0 ± 10.0 % (3 seeds)
    """
    callable_("measure", measure, fix="pass a function of a seed that returns one figure")
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be several whole numbers, got {shown(seeds)}; write (0, 1, 2), say")
    return Spread(tuple(measure(whole("each seed", seed, fix="write (0, 1, 2), say")) for seed in seeds))


def _need_known(batch: Batch, logits: Tensor) -> None:
    """Refuse labels from an augmentation that do not fit the model's classes."""
    classes = batch.labels.shape[1] if batch.labels.ndim == 2 else int(batch.labels.max()) + 1
    if classes > logits.shape[1] or (batch.labels.ndim == 2 and classes < logits.shape[1]):
        raise ValueError(
            f"augment gives labels of {classes} classes, but the model has {logits.shape[1]}; keep the classes "
            "of the batch that it gets"
        )


def _check(
    model: nn.Module,
    train: Split,
    validation: Split,
    loss: Loss,
    augment: Augment | None,
    progress: Callable[[Epoch], None] | None,
) -> None:
    need_module(model)
    for name, split in (("train", train), ("validation", validation)):
        if not isinstance(split, Split):
            raise TypeError(f"{name} must be a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    if not callable(loss):
        raise TypeError(f"loss must be a function (logits, images, labels) -> tensor, got {loss!r}; see cross_entropy")
    if augment is not None and not callable(augment):
        raise TypeError(f"augment must be a function (batch, generator) -> batch, got {augment!r}; None leaves it out")
    if progress is not None:
        callable_("progress", progress, fix="pass a function of an Epoch, or None")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("the model has no trainable parameter, so there is nothing to fit; set requires_grad on some")
    need_classes(model, train, validation)


def _another_generator(seed: int) -> torch.Generator:
    """Return a generator that depends on the seed, but whose numbers differ from those that order the pictures."""
    (drawn,) = torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.Generator().manual_seed(drawn)


def _as_many(augmented: object, batch: Batch) -> Batch:
    """Return the result of an augmentation if it is a batch of as many pictures as before."""
    augmented = need_batch(augmented)
    if len(augmented) != len(batch):
        raise ValueError(f"augment made {len(augmented)} pictures of {len(batch)}; it must keep their number")
    return augmented


def _one_number(loss: object) -> Tensor:
    """Return the result of a loss if it is a number that training can lower."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss must give a tensor, got {type(loss).__name__}; leave out .item() in it")
    if loss.ndim or not loss.requires_grad:
        what = f"shape {list(loss.shape)}" if loss.ndim else "a number without a gradient"
        raise ValueError(f"loss must give one number with a gradient, got {what}; take the mean, and detach no logits")
    return loss
