"""The training loop with a loss of one's own: what it is given, what is reported of it, and which ones are refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib import fit
from mini_lib.data import Split


def points(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(100) % 2
    return Split(torch.randn(100, 2, generator=generator) + 3 * labels[:, None], labels)


TRAIN, VALIDATION = points(0), points(1)


def short(loss, **changes):
    settings = dict(epochs=2, seed=0, learning_rate=0.05, batch_size=32) | changes
    model = nn.Linear(2, 2)
    nn.init.zeros_(model.weight)
    return fit.fit(model, TRAIN, VALIDATION, loss=loss, **settings)


def test_the_default_is_the_cross_entropy():
    model = nn.Linear(2, 2)
    settings = dict(train=TRAIN, validation=VALIDATION, epochs=2, seed=0, learning_rate=0.05)
    plain = fit.fit(model, **settings)
    named = fit.fit(model, **settings, loss=fit.cross_entropy)
    torchs = fit.fit(model, **settings, loss=lambda z, _, y: F.cross_entropy(z, y))
    assert plain.history == named.history == torchs.history
    assert torch.equal(plain.model.weight, named.model.weight) and torch.equal(plain.model.weight, torchs.model.weight)


def test_a_loss_sees_what_the_model_saw_with_its_labels():
    seen = []

    class Recorder(nn.Linear):
        def forward(self, images):
            if self.training:
                seen.append(images)
            return super().forward(images)

    def loss(logits, images, labels):
        assert images is seen[-1] and logits.requires_grad
        rows = [int((TRAIN.images == image).all(dim=1).nonzero()) for image in images]
        assert torch.equal(TRAIN.labels[rows], labels)
        return fit.cross_entropy(logits, images, labels)

    fit.fit(Recorder(2, 2), TRAIN, VALIDATION, epochs=1, seed=0, learning_rate=0.05, batch_size=32, loss=loss)
    assert [len(batch) for batch in seen] == [32, 32, 32, 4]


def test_the_loss_that_is_lowered_is_reported_and_validation_is_cross_entropy():
    fitted = short(lambda logits, images, labels: logits.mean() * 0 + 7.0)  # flat: AdamW without decay moves nothing
    row = fitted.history[-1]
    assert row.train_loss == 7.0
    expected = F.cross_entropy(fit.predict(fitted.model, VALIDATION.images), VALIDATION.labels).item()
    assert row.validation_loss == expected


def test_another_loss_leads_elsewhere():
    upside_down = short(lambda logits, images, labels: F.cross_entropy(logits, 1 - labels), epochs=20)
    # the means of the classes are 3 * sqrt(2) = 4.2 deviations apart: 1.7% err, and 10 of 100 are six deviations beyond
    assert fit.accuracy(short(fit.cross_entropy, epochs=20).model, VALIDATION) > 0.9
    assert fit.accuracy(upside_down.model, VALIDATION) < 0.1


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("mse", TypeError, r"loss must be a function \(logits, images, labels\) -> tensor, got 'mse'"),
        (lambda logits, images, labels: logits.sum().item(), TypeError, "must give a tensor, got float; leave out"),
        (lambda logits, images, labels: logits[:, 0], ValueError, r"one number with a gradient, got shape \[32\];"),
        (lambda logits, images, labels: logits.detach().mean(), ValueError, "got a number without a gradient; take"),
        (lambda logits, images, labels: logits.mean() / 0, ValueError, "the loss is -?(inf|nan) in epoch 1, step 1"),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_be_lowered(loss, error, message):
    with pytest.raises(error, match=message):
        short(loss)
