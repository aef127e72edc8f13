"""The controls: each takes away one thing and keeps the rest."""

import pytest
import tiny_tickets as tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.prune import Mask, keep_top, magnitude
from mini_lib.prune.tickets import Recipe, random_mask, shuffled_mask, weights_of
from mini_lib.prune.tickets.arms import CHAINS, CONTROLS
from studies.tickets import State, Study, advance, study

ARMS = (*CHAINS, *CONTROLS)


@st.composite
def masks(draw):
    """Masks of one to four layers of any shape, each with at least one weight left."""
    tensors = {}
    for layer in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
        size = torch.Size(shape).numel()
        kept = draw(st.integers(1, size))
        order = torch.randperm(size, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
        tensors[f"layer{layer}.weight"] = (order < kept).reshape(shape)
    return Mask(tensors)


@given(masks(), st.integers(0, 2**40))
def test_a_shuffled_mask_keeps_as_many_in_each_layer(mask, seed):
    drawn = shuffled_mask(mask, seed)
    assert drawn.layers() == mask.layers()
    assert [drawn[name].shape for name in drawn] == [mask[name].shape for name in mask]
    assert shuffled_mask(mask, seed) == drawn


@given(masks(), st.integers(0, 2**40))
def test_a_random_mask_keeps_as_many_in_all_and_some_in_each_layer(mask, seed):
    drawn = random_mask(mask, seed)
    assert (drawn.kept, drawn.total, drawn.names) == (mask.kept, mask.total, mask.names)
    assert all(layer.kept >= 1 for layer in drawn.layers())
    assert random_mask(mask, seed) == drawn


BLOCK = Mask({"a.weight": torch.arange(4000).reshape(40, 100) < 1000, "b.weight": torch.arange(1000) < 900})


@pytest.mark.parametrize("draw, share", [(shuffled_mask, 1000 / 4000), (random_mask, 1900 / 5000)])
def test_every_place_is_as_likely_as_any_other(draw, share):
    """Over 400 draws a place is kept 400 * share times, give or take sqrt(400 * share * (1 - share)) < 10. Of the 4000
    places of a layer none is off by more than 6 of those: that happens once in a hundred thousand such tests."""
    often = sum(draw(BLOCK, seed)["a.weight"].int() for seed in range(400))
    deviation = (400 * share * (1 - share)) ** 0.5
    assert (often - 400 * share).abs().max() < 6 * deviation


def test_seeds_draw_other_places():
    for draw in (shuffled_mask, random_mask):
        assert draw(BLOCK, 0) != draw(BLOCK, 1)
        # Of 4000 places, two draws of a quarter share 250 by chance; 1000 would be the same draw.
        assert int((draw(BLOCK, 0)["a.weight"] & draw(BLOCK, 1)["a.weight"]).sum()) < 800


# --- what a study gives to its arms --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """What was trained in the rounds of a study: (arm, seed) -> start, mask, order, first step, result; by round."""
    asked = Study(
        Recipe(steps=12, batch_size=16, learning_rate=0.02),
        seeds=(0, 3),
        arms=ARMS,
        rounds=3,
        rate=0.4,
        rewind_to=5,
        build=tiny.build,
        load_data=tiny.pictures,
    )
    calls = []
    real = study.train_together

    def recording(model, starts, masks, orders, splits, recipe, *, first_step=0, snapshot_at=None):
        results = real(model, starts, masks, orders, splits, recipe, first_step=first_step, snapshot_at=snapshot_at)
        calls.extend(zip(starts, masks, orders, [first_step] * len(starts), results))
        return results

    states, rounds = [State(0), State(3)], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "train_together", recording)
        for _ in range(4):
            before, calls[:] = states, []
            states = advance(asked, states)
            # In a round the arms that begin at step 0 come first, "late" after them; within these, seed by seed.
            arms = [(arm, seed) for seed in (0, 3) for arm in ARMS if arm != "late"] + [("late", 0), ("late", 3)]
            if before[0].round == 0:
                arms = [("dense", 0), ("dense", 3)]
            rounds.append((before, dict(zip(arms, calls, strict=True))))
    return rounds


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_dense_net_starts_without_a_mask(trained):
    _, dense = trained[0]
    for seed in (0, 3):
        start, mask, _, first_step, _ = dense["dense", seed]
        assert same(start, weights_of(tiny.build(seed))) and mask is None and first_step == 0


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 3])
def test_controls_differ_from_the_ticket_in_one_thing_only(trained, number, seed):
    _, nets = trained[number]
    start, mask, order, first_step, _ = nets["ticket", seed]
    assert same(start, weights_of(tiny.build(seed)))
    assert first_step == 0
    for arm in CONTROLS:
        control_start, control_mask, control_order, control_first_step, _ = nets[arm, seed]
        assert torch.equal(control_order, order) and control_first_step == 0
        assert same(control_start, start) == (arm != "reinit")
        assert (control_mask == mask) == (arm == "reinit")
        assert control_mask.kept == mask.kept
    assert nets["shuffled", seed][1].layers() == mask.layers()
    for name, weight in nets["reinit", seed][0].items():  # not one of its weights is the ticket's
        assert not (weight == start[name]).any()


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 3])
def test_rewound_nets_start_where_they_should(trained, number, seed):
    dense, nets = trained[0][1]["dense", seed], trained[number][1]
    late_start, _, late_order, first_step, _ = nets["late", seed]
    assert same(late_start, dense[-1].snapshot) and first_step == 5
    assert torch.equal(late_order, dense[2])
    start, _, order, first_step, _ = nets["lr_rewind", seed]
    before = dense if number == 1 else trained[number - 1][1]["lr_rewind", seed]
    assert same(start, before[-1].weights) and first_step == 0
    assert torch.equal(order, dense[2])


@pytest.mark.parametrize("arm", CHAINS)
def test_each_chain_prunes_the_smallest_of_its_own_trained_weights(trained, arm):
    for number in (1, 2, 3):
        for seed in (0, 3):
            _, mask, _, _, _ = trained[number][1][arm, seed]
            _, before, _, _, result = trained[number - 1][1][arm if number > 1 else "dense", seed]
            assert mask.kept == round(320 * 0.6**number)
            kept = torch.cat([result.weights[name][mask[name]].abs() for name in mask])
            out = {name: ~mask[name] if before is None else before[name] & ~mask[name] for name in mask}
            pruned = torch.cat([result.weights[name][out[name]].abs() for name in mask])
            assert kept.min() >= pruned.max() and len(kept) + len(pruned) == (320 if before is None else before.kept)


def test_seeds_have_batches_and_places_of_their_own(trained):
    _, nets = trained[2]
    for arm in ARMS:
        assert not torch.equal(nets[arm, 0][2], nets[arm, 3][2])
        assert nets[arm, 0][1] != nets[arm, 3][1]


def test_places_are_drawn_anew_in_each_round():
    """Else one unlucky draw would follow a seed: a random mask would lie within the one of the round before."""
    mask = keep_top(magnitude(tiny.build(0)), 0.5)
    for arm in ("shuffled", "random"):
        one, other = (study._mask(State(0, number, masks={"ticket": mask}), arm) for number in (1, 2))
        assert one != other


def test_a_reinit_keeps_its_weights_over_the_rounds(trained):
    for seed in (0, 3):
        assert same(trained[1][1]["reinit", seed][0], trained[3][1]["reinit", seed][0])
