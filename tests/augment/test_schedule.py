"""A schedule of policies: which one is used when, in `fit` too."""

import pytest
import torch
from torch import nn

from mini_lib.augment.search.schedule import PolicySchedule
from mini_lib.batch import Batch
from mini_lib.data import Split
from mini_lib.fit import fit

BATCH = Batch(torch.zeros(1, 1), torch.tensor([0]))


def noting(name, notes):
    """An augmentation that changes nothing and writes down that it was used."""

    def augment(batch, generator):
        notes.append(name)
        return batch

    return augment


def test_each_policy_has_its_share_of_the_steps():
    """Seven steps in three parts: part i begins where step / 7 reaches i / 3, at 2.33 and 4.67."""
    notes = []
    schedule = PolicySchedule([noting(name, notes) for name in "abc"])
    augment = schedule.begin(7)
    for _ in range(7):
        augment(BATCH, torch.Generator())
    assert "".join(notes) == "aaabbcc"
    assert [schedule.policies.index(schedule.at(step, 7)) for step in range(7)] == [0, 0, 0, 1, 1, 2, 2]


def test_fit_goes_through_it_from_the_first_epoch_to_the_last():
    notes = []
    schedule = PolicySchedule([noting(name, notes) for name in "ab"])
    five = Split(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1, 0]))
    for _ in range(2):  # a new one for each training
        fit(nn.Linear(2, 2), five, five, epochs=4, seed=0, learning_rate=0.01, batch_size=2, augment=schedule.begin(12))
    assert "".join(notes) == 2 * "aaaaaabbbbbb"  # three batches per epoch


def test_a_schedule_that_was_used_up_is_not_used_again_in_silence():
    augment = PolicySchedule([lambda batch, generator: batch]).begin(2)
    for _ in range(2):
        augment(BATCH, torch.Generator())
    with pytest.raises(ValueError, match="begun for 2 steps, got one more; give schedule.begin"):
        augment(BATCH, torch.Generator())


def test_fit_refuses_a_schedule_that_was_not_begun():
    one = Split(torch.zeros(1, 2), torch.tensor([0]))
    with pytest.raises(TypeError, match="augment must be a function"):
        fit(nn.Linear(2, 2), one, one, epochs=1, seed=0, learning_rate=0.01, augment=PolicySchedule([str]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PolicySchedule([]), "a schedule needs at least one policy, got none"),
        (lambda: PolicySchedule([str]).begin(0), "steps must be a whole number of 1 or more, got 0; epochs times"),
        (
            lambda: PolicySchedule([str]).at(3, 3),
            "step must be a whole number from 0 to 2, got 3; this training ends with step 2",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
