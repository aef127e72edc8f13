"""The losses that a student is trained with: plain, and with three kinds of help, of which two are controls.

The teacher is an ensemble of shipped checkpoints, better than any student here. It must help more than two controls
that are free: label smoothing, which knows nothing about a picture, and a teacher of the student's own size, its own
checkpoint, which knows no more than the student did.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mini_lib import zoo
from mini_lib.data import Split
from mini_lib.distill import distillation, label_smoothing, mean_of
from mini_lib.fit import Loss, cross_entropy, predict

PLAIN, SMOOTHED, SAME_SIZE, ENSEMBLE = "plain", "label smoothing", "same-size teacher", "ensemble teacher"
HELPS = (PLAIN, SMOOTHED, SAME_SIZE, ENSEMBLE)


def ensemble_for(seed: int) -> nn.Module:
    """Return the mean of the three `depthwise_cnn` and of the two `small_cnn` of other seeds.

    The checkpoint of the student's own seed is not in it: students start from it, and would be taught by themselves.

    >>> len(ensemble_for(0).models)
    5
    """
    names = [("depthwise_cnn", number) for number in range(3)]
    names += [("small_cnn", number) for number in range(3) if number != seed]
    return mean_of([zoo.load(*name) for name in names])


class Remembered(nn.Module):
    """A teacher whose logits for each picture were computed once and are looked up from then on, which is much faster.

    It serves only where nothing changes the pictures; a picture that it was not asked about is refused.

    >>> images = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> Remembered(nn.Flatten(), images)(images[1:])
    tensor([[3., 4.]])
    """

    def __init__(self, teacher: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.logits = predict(teacher, images)
        self._row = {_bytes(image): row for row, image in enumerate(images)}

    def forward(self, images: Tensor) -> Tensor:
        try:
            return self.logits[[self._row[_bytes(image)] for image in images]]
        except KeyError:
            raise ValueError(
                "the teacher was not asked about one of these pictures; use it itself where pictures change"
            ) from None


def losses(
    same_size: nn.Module, ensemble: nn.Module, train: Split, *, temperature: float, share: float, smoothing: float
) -> Mapping[str, Loss]:
    """Return the loss of each of `HELPS`, for students that see the pictures of `train` as they are.

    Raises:
        ValueError: as `distillation` and `label_smoothing`.
    """

    def taught_by(teacher: nn.Module) -> Loss:
        return distillation(Remembered(teacher, train.images), temperature=temperature, share=share)

    return {
        PLAIN: cross_entropy,
        SMOOTHED: label_smoothing(smoothing),
        SAME_SIZE: taught_by(same_size),
        ENSEMBLE: taught_by(ensemble),
    }


def _bytes(image: Tensor) -> bytes:
    return image.numpy().tobytes()
