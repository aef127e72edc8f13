"""The answers of a model, and how often they are right."""

import torch
from torch import Tensor, nn

from mini_lib.calibration import run_model
from mini_lib.copying import need_module
from mini_lib.counting import evaluating
from mini_lib.data import Split
from mini_lib.require import of_type, whole
from mini_lib.tensor_checks import need_tensor


def accuracy(model: nn.Module, split: Split) -> float:
    """Return the share of pictures, in [0, 1], whose largest logit is that of their class.

    The model runs in evaluation mode and is left in the mode it had.

    Raises:
        TypeError: `model` is not a module, or `split` not a Split.
        ValueError: it gives no logits [N, classes], or NaN; a label lies beyond its classes; or as `predict`.

    >>> split = Split(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]), torch.tensor([0, 1, 1]))
    >>> round(accuracy(nn.Identity(), split), 4)                              # the third one is wrong
    0.6667
    """
    of_type("split", split, Split, fix="use data.Split(images, labels)")
    logits = predict(model, split.images)
    _need_logits(logits, split)
    return share_correct(logits, split.labels)


def predict(model: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Return the logits [N, classes] of images [N, ...], computed in evaluation mode and without gradients.

    Small batches, whose activations fit in the cache, are about twice as fast as batches of 1000 here.

    Raises:
        TypeError: `model` is not a module, or gives no tensor; or `images` is not a tensor.
        ValueError: there is no image, `batch_size` is below 1, or the model cannot be run on these images.

    >>> predict(nn.Flatten(), torch.ones(3, 1, 2, 2)).shape
    torch.Size([3, 4])
    """
    need_module(model)
    images = need_tensor("images", images, floating=False, fix="pass split.images")
    batch_size = whole("batch_size", batch_size, low=1, fix="100 is fast")
    with evaluating(model):
        found = [run_model(model, batch) for batch in images.split(batch_size)]
    for logits in found:
        of_type("what the model gives", logits, Tensor, fix="let it return logits [N, classes] and nothing else")
    return torch.cat(found)


def need_classes(model: nn.Module, *splits: Split) -> None:
    """Refuse a model whose logits do not cover all classes of the splits.

    Raises:
        TypeError, ValueError: as `predict`; or it gives no logits [N, classes], or a label lies beyond its classes.

    >>> need_classes(nn.Flatten(), Split(torch.zeros(1, 1, 2, 2), torch.tensor([3])))          # 4 logits, labels 0 to 3
    """
    if not splits:
        raise ValueError("splits must hold at least one split, got none; pass the pictures that the model is for")
    for split in splits:
        of_type("each split", split, Split, fix="use data.Split(images, labels)")
    with torch.random.fork_rng(devices=[]):  # a model may draw at random whatever its mode
        logits = predict(model, splits[0].images[:1])
    _need_logits(logits, *splits)


def share_correct(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is that of their label.

    Raises:
        TypeError: one of the two is not a tensor.
        ValueError: the numbers of rows and labels differ; or a logit is NaN: it would count as the largest, and the
            share would be that of a guess.

    >>> share_correct(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    logits = need_tensor("logits", logits, dims=2, fix="predict(model, images) gives them")
    if len(need_tensor("labels", labels, dims=1, floating=False, fix="pass split.labels")) != len(logits):
        raise ValueError(f"there are {len(labels)} labels for {len(logits)} rows of logits; pass those of one split")
    if logits.isnan().any():
        count = int(logits.isnan().any(dim=1).sum())
        raise ValueError(
            f"the model gives NaN for {count} of {len(labels)} pictures, so it has no accuracy; find the layer that "
            "went to NaN or infinity"
        )
    return (logits.argmax(dim=1) == labels).sum().item() / len(labels)


def _need_logits(logits: Tensor, *splits: Split) -> None:
    """Refuse logits that do not cover all classes of the splits."""
    if logits.ndim != 2:
        raise ValueError(f"the model must give logits [N, classes], got {list(logits.shape)}; flatten its output")
    highest = int(max(split.labels.max() for split in splits))
    if highest >= logits.shape[1]:
        raise ValueError(
            f"the highest label is {highest}, but the model has {logits.shape[1]} classes; "
            f"give its last layer {highest + 1} outputs"
        )
