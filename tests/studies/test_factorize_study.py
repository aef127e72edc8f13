"""The study of decomposition: its nets, its runs and their control, what is timed and how, and what was recorded."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mini_lib import measure, zoo
from mini_lib.data import Splits, fashion
from mini_lib.factorize.cost import cost_ratio
from mini_lib.fit import Spread, accuracy
from mini_lib.fold import fold_batch_norm
from studies.factorize import clean_process, contests, equal, nets, record, speed, sweep

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = torch.zeros(1, 1, 28, 28)


def says(message: str) -> str:
    return re.escape(message)


@cache
def splits() -> Splits:
    shipped = fashion()
    return Splits(shipped.train.first(1024), shipped.validation.first(100), shipped.test.first(100))


@cache
def runs() -> tuple[sweep.Run, ...]:
    small = sweep.Sweep(fractions=(0.25, 0.5), pictures=512, calibration=64)
    return sweep.run_sweep(small, zoo.load("small_cnn", 0), splits(), seed=3)


def one(method: str, fraction: float, validation: float, test: float, seed: int = 0) -> sweep.Run:
    return sweep.Run(seed, method, fraction, 10, 100, 40, 0.1, validation, 0.1, test)


# --- nets ----------------------------------------------------------------------------------------------------------


def test_with_the_widths_of_small_cnn_it_is_small_cnn():
    ours, theirs = nets.plain_cnn((16, 32, 64, 64)), zoo.small_cnn()
    assert [(n, type(m)) for n, m in ours.named_children()] == [(n, type(m)) for n, m in theirs.named_children()]
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert measure.macs(ours, EXAMPLE) == measure.macs(theirs, EXAMPLE)


def test_the_narrow_net_has_the_macs_of_the_mobilenet():
    a, b, c, d = nets.NARROW
    by_hand = 9 * (784 * a + 196 * (a * b + b * c) + 49 * c * d) + 10 * d
    mobile = 784 * 9 * 16 + 196 * (9 * 16 + 16 * 32) + 196 * (9 * 32 + 32 * 64)
    mobile += 49 * (9 * 64 + 64 * 64) + 49 * (9 * 64 + 64 * 128) + 1280
    assert measure.macs(nets.plain_cnn(nets.NARROW), EXAMPLE) == by_hand
    assert measure.macs(zoo.depthwise_cnn(), EXAMPLE) == mobile
    assert abs(by_hand / mobile - 1) < 0.0025


def test_a_seed_repeats_a_net_and_leaves_the_global_state():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (nets.plain_cnn((2, 2, 3, 3), seed).conv2.weight for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_widths_that_are_none():
    with pytest.raises(ValueError, match=says("widths must be four numbers of channels, got (8, 8)")):
        nets.plain_cnn((8, 8))
    with pytest.raises(ValueError, match="a width must be a whole number of 1 or more, got 0"):
        nets.plain_cnn((8, 0, 8, 8))


# --- runs and their control ----------------------------------------------------------------------------------------


def test_the_dense_control_comes_first_and_everything_is_fine_tuned():
    assert [(run.method, run.fraction) for run in runs()] == [
        ("dense", 1.0),
        *((method, fraction) for fraction in (0.25, 0.5) for method in sweep.METHODS),
    ]
    assert {run.seed for run in runs()} == {3}
    # A quarter of full rank leaves little of this model, and four steps bring some of it back.
    svd = runs()[1]
    assert svd.validation_before < svd.validation_after < runs()[0].validation_after


def test_costs_of_the_runs_by_hand():
    """small_cnn folded: 144 + 16 | 4608 + 32 | 18432 + 64 | 36864 + 64 | 650, and r * (9 * in + out) split in two."""
    dense, svd, aware, tucker = runs()[:4]
    assert dense.parameters == 160 + 4640 + 18496 + 36928 + 650 and dense.stored_bytes == 4 * dense.parameters
    split = 8 * (144 + 32) + 32 + 16 * (288 + 64) + 64 + 16 * (576 + 64) + 64
    assert svd.parameters == aware.parameters == 160 + split + 650
    assert svd.macs == 784 * 144 + 196 * (8 * 176 + 16 * 352) + 49 * 16 * 640 + 640
    core = 16 * 4 + 4 * 8 * 9 + 8 * 32 + 32 + 32 * 8 + 8 * 16 * 9 + 16 * 64 + 64 + 64 * 16 + 16 * 16 * 9 + 16 * 64 + 64
    assert tucker.parameters == 160 + core + 650


def test_accuracies_before_fine_tuning_are_those_of_the_model_before_it():
    dense = fold_batch_norm(zoo.load("small_cnn", 0))
    for run, model in ((runs()[0], dense), (runs()[4], sweep.apart(dense, "svd", 0.5))):
        assert run.validation_before == accuracy(model, splits().validation)
        assert run.test_before == accuracy(model, splits().test)
    split_apart = runs()[4]
    assert (split_apart.method, split_apart.fraction) == ("svd", 0.5)
    assert len({split_apart.validation_before, split_apart.test_before, split_apart.test_after}) == 3


def test_a_sweep_repeats_and_progress_sees_every_run():
    only, seen = sweep.Sweep(methods=("svd",), fractions=(0.25,), pictures=256), []
    first = sweep.run_sweep(only, zoo.load("small_cnn", 0), splits(), seed=0, progress=seen.append)
    assert tuple(seen) == first == sweep.run_sweep(only, zoo.load("small_cnn", 0), splits(), seed=0)


def test_data_aware_is_told_from_plain():
    by_method = {run.method: run for run in runs() if run.fraction == 0.5}
    dense = fold_batch_norm(zoo.load("small_cnn", 0))
    assert by_method["svd"].macs == by_method["data-aware svd"].macs
    with pytest.raises(ValueError, match="there are no moments of layer 'conv2'"):
        sweep.apart(dense, "data-aware svd", 0.5)


@pytest.mark.parametrize("given, message", [
    ({"methods": ("cp",)}, "there is no method 'cp'; there are svd, data-aware svd, tucker-2"),
    ({"methods": ()}, "methods must hold at least one, got none"),
    ({"fractions": (0.5, 1.0)}, "each of fractions must lie in (0, 1), got 1.0; 1 is the dense control"),
    ({"fractions": (0,)}, "each of fractions must lie in (0, 1), got 0"),
    ({"layers": ()}, "layers must hold at least one"),
    ({"pictures": 0}, "pictures must be a whole number of 1 or more, got 0; use 512 or more"),
    ({"calibration": 0}, "calibration must be a whole number of 1 or more, got 0; use 512 or more"),
])  # fmt: skip
def test_a_sweep_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=says(message)):
        sweep.Sweep(**given)


def test_a_method_that_is_none():
    with pytest.raises(ValueError, match="there is no method 'magic'"):
        sweep.apart(zoo.small_cnn().eval(), "magic", 0.5)


def test_the_difference_to_the_control_is_taken_seed_by_seed():
    """Seeds differ by 10 points, and the method loses 1 and 3 of them."""
    both = [one("dense", 1.0, 0.8, 0.8, 0), one("dense", 1.0, 0.9, 0.9, 1)]
    both += [one("svd", 0.5, 0.79, 0.79, 0), one("svd", 0.5, 0.87, 0.87, 1)]
    found = record.against_control(both, "svd", 0.5)
    assert found.mean == pytest.approx(-0.02) and found.std == pytest.approx(0.01 * 2**0.5)
    with pytest.raises(ValueError, match=says("there is no run of 'svd' at 0.25")):
        record.against_control(both, "svd", 0.25)
    with pytest.raises(ValueError, match=says("no dense control of seed [1]")):
        record.against_control(both[:1] + both[2:], "svd", 0.5)


def test_validation_chooses_the_rank_and_test_does_not():
    these = [one("dense", 1.0, 0.9, 0.9), one("svd", 0.25, 0.895, 0.1), one("svd", 0.5, 0.85, 0.99)]
    assert record.choose_fraction(these, "svd") == 0.25
    assert record.choose_fraction(these, "svd", lose_at_most=0.001) is None


# --- equal MACs ----------------------------------------------------------------------------------------------------


def test_a_net_is_trained_and_judged_with_batch_norm_folded():
    found = equal.train_net("plain_cnn", 0, splits(), equal.Recipe(epochs=1))
    a, b, c, d = nets.NARROW
    assert found.parameters == 9 * (a + a * b + b * c + c * d) + a + b + c + d + 10 * d + 10
    assert found.stored_bytes == 4 * found.parameters and 0 <= found.test <= 1
    with pytest.raises(ValueError, match="there is no net 'resnet'; there are depthwise_cnn, plain_cnn"):
        equal.train_net("resnet", 0, splits())


# --- what is timed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", contests.CONTESTS)
def test_a_contest_runs_and_gives_what_its_first_module_does(name):
    contest = contests.CONTESTS[name]()
    assert set(contest.modules) == set(contest.shapes) and len(contest.modules) >= 2
    with torch.no_grad():
        shapes = {tuple(module(torch.zeros(1, *contest.shapes[key])).shape) for key, module in contest.modules.items()}
    assert len(shapes) == (2 if name == "equal_layers" else 1)


def test_the_macs_that_the_contests_are_about():
    def per_place(contest: contests.Contest, name: str) -> int:
        _, height, width = contest.shapes[name]
        return measure.macs(contest.modules[name], torch.zeros(1, *contest.shapes[name])) // (height * width)

    small = contests.small_layer()
    assert per_place(small, "dense") == 16 * 16 * 9
    assert per_place(small, "tucker-2 8 x 8") == 16 * 8 + 8 * 8 * 9 + 8 * 16
    ratio = Fraction(per_place(small, "depthwise-separable"), per_place(small, "dense"))
    assert ratio == cost_ratio(16, 3)
    pair = contests.equal_layers()
    assert [per_place(pair, name) for name in pair.modules] == [4608, 4672]


@given(st.integers(1, 64), st.integers(1, 100), st.sampled_from([4, 8, 16]))
def test_whole_vectors_cost_at_least_the_macs_and_at_most_a_vector_more(outputs, each, width):
    vectors = speed.in_vectors(outputs * each, outputs, width)
    assert vectors % (width * each) == 0
    assert outputs * each <= vectors < (outputs + width) * each


def test_calls_are_timed_in_turns():
    seen = []
    calls = {name: (lambda name=name: seen.append(name)) for name in "ab"}
    processor, wall = speed.processor_latency(calls, repeats=3, warmup=1)
    assert "".join(seen) == "ab" + 3 * "aabb"  # each warmed at its turn
    assert {name: len(times.times_s) for name, times in processor.items()} == {"a": 3, "b": 3}
    assert set(wall) == {"a", "b"}
    with pytest.raises(ValueError, match="repeats must be a whole number of 1 or more, got 0"):
        speed.processor_latency(calls, repeats=0)


def test_rows_of_a_contest():
    rows = speed.time_contest("small_layer", batches=(2,), layouts=("NCHW",), repeats=3, peak_flops_per_s=1e9)
    assert [row.name for row in rows] == list(contests.small_layer().modules)
    dense = rows[0]
    assert dense.times_faster == 1 and dense.macs == 2 * 196 * 2304
    assert dense.vector_macs >= dense.macs
    # At a GFLOP a second all of it waits for arithmetic: 2 FLOPs a MAC.
    assert dense.bound_s == pytest.approx(2 * dense.macs / 1e9)
    assert dense.moved_bytes == 4 * (2304 + 16 + 2 * 2 * 16 * 196)
    assert 0 < dense.low_s <= dense.median_s <= dense.high_s


def test_contests_and_layouts_that_are_none():
    with pytest.raises(ValueError, match="there is no contest 'chess'; there are small_layer"):
        speed.time_contest("chess")
    with pytest.raises(ValueError, match="there is no layout 'NHWC'; there are NCHW, channels_last"):
        speed.time_contest("small_layer", layouts=("NHWC",))


# --- in a process of its own ---------------------------------------------------------------------------------------


def test_a_clean_process_times_what_it_is_asked():
    rows, machine = clean_process.in_clean_process(["small_layer"], batches=(1,), layouts=("NCHW",), repeats=2)
    assert [(row.contest, row.batch, row.layout) for row in rows] == [("small_layer", 1, "NCHW")] * 4
    assert machine["threads"] == 1 and machine["peak_flops_per_s"] > 0


@pytest.mark.parametrize("keep", [True, False])
def test_the_allocator_is_told_before_the_process_starts(monkeypatch, keep):
    seen = {}

    def run(command, env, **rest):
        seen.update(env=env, command=command)
        return subprocess.CompletedProcess(command, 0, json.dumps({"rows": [], "machine": {}}), "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    assert clean_process.in_clean_process(["ranks"], keep_memory=keep) == ([], {})
    told = {name: seen["env"].get(name) for name in clean_process.KEEP_MEMORY}
    assert told == (clean_process.KEEP_MEMORY if keep else dict.fromkeys(clean_process.KEEP_MEMORY))
    assert seen["env"]["OMP_NUM_THREADS"] == "1"
    assert seen["env"]["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT) and seen["command"][0] == sys.executable


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(clean_process, "CONTESTS", {"chess": None})
    with pytest.raises(RuntimeError, match="(?s)the process that times ended with 1: .*there is no contest 'chess'"):
        clean_process.in_clean_process(["chess"], batches=(1,))
    with pytest.raises(RuntimeError, match=says("timing took longer than 0.01 s")):
        clean_process.in_clean_process(["chess"], timeout_s=0.01)


@pytest.mark.parametrize("given, message", [
    ({"contests": ["chess"]}, "there is no contest 'chess'; there are small_layer"),
    ({"contests": []}, "there is no contest ''"),
    ({"contests": ["ranks"], "layouts": ["NHWC"]}, "there is no layout 'NHWC'; there are NCHW, channels_last"),
    ({"contests": ["ranks"], "repeats": 0}, "repeats and batches must be 1 or more, got 0 and [1, 32]"),
    ({"contests": ["ranks"], "batches": [0]}, "repeats and batches must be 1 or more, got 30 and [0]"),
])  # fmt: skip
def test_what_cannot_be_timed(given, message):
    with pytest.raises(ValueError, match=says(message)):
        clean_process.in_clean_process(**given)


# --- the record and its tables -------------------------------------------------------------------------------------


@cache
def tiny_study() -> record.Study:
    rows = tuple(speed.time_contest("depthwise_alone", batches=(2,), repeats=2, peak_flops_per_s=1e11))
    net = equal.Trained(0, "plain_cnn", 13364, 1_362_180, 53456, 0.886, 0.888)
    return record.Study({"small_cnn": runs()}, (net,), rows, rows, {"seeds": [3]})


def test_a_study_comes_back_from_its_text():
    assert record.from_json(record.to_json(tiny_study())) == tiny_study()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sweeps": {"small_cnn": [{"seed": 0}]}}'])
def test_a_text_that_is_no_study(text):
    with pytest.raises(ValueError, match="this is not a recorded study .*`git restore studies/records/factorize.json"):
        record.from_json(text)


def test_tables_show_every_row():
    study = tiny_study()
    sweep_lines = record.sweep_table(study.sweeps["small_cnn"]).splitlines()
    assert len(sweep_lines) == 1 + len(runs()) and sweep_lines[1].split()[:2] == ["dense", "1"]
    assert "plain_cnn" in record.equal_table(study.equal) and "88.8" in record.equal_table(study.equal)
    contest = study.contest("depthwise_alone", 2, "NCHW")
    assert [line.split()[0] for line in record.speed_table(contest).splitlines()[1:]] == ["depthwise", "dense"]
    assert len(record.trap_table(contest, contest).splitlines()) == 3
    with pytest.raises(ValueError, match=says("'ranks' at batch 1 in 'NCHW' was not timed; there are depthwise_alone")):
        study.contest("ranks", 1, "NCHW")


def test_times_stand_beside_the_runs_that_they_belong_to():
    row = replace(tiny_study().speed[0], name="svd 0.25", median_s=0.002, low_s=0.001, high_s=0.003, times_faster=1.5)
    text = record.sweep_table(runs(), [row, replace(row, name="dense", times_faster=1.0)])
    by_kind = {tuple(line.split("  ")[0:1]) + tuple(line.split()[-3:]): line for line in text.splitlines()[1:]}
    assert sum("1.50" in line.split()[-1] for line in by_kind.values()) == 2  # both kinds of SVD, the same layers
    assert sum(line.split()[-1] == "-" for line in by_kind.values()) == len(runs()) - 3


def test_differences_have_a_sign():
    assert record.points(Spread((0.01, 0.01))) == "+1.0 ± 0.0"


@pytest.fixture(scope="module")
def shipped():
    return record.recorded()


def test_what_is_shipped_was_made_with_three_seeds_and_says_how(shipped):
    for runs_ in shipped.sweeps.values():
        assert sorted({run.seed for run in runs_}) == shipped.settings["seeds"] == [0, 1, 2]
    assert {net.net for net in shipped.equal} == set(equal.BUILDERS) and len(shipped.equal) == 6
    assert shipped.settings["machine"]["threads"] == 1
    assert sweep.Sweep(**shipped.settings["small_cnn"]) == sweep.Sweep()


def test_the_control_was_not_harmed_by_fine_tuning_with_the_rate_that_was_chosen(shipped):
    """Else every method would look good against it: half a point of validation accuracy is allowed, on average."""
    for runs_ in shipped.sweeps.values():
        dense = [run for run in runs_ if run.method == "dense"]
        assert Spread(tuple(run.validation_after - run.validation_before for run in dense)).mean > -0.005


def test_what_is_shipped_has_the_costs_that_are_counted_today(shipped):
    dense = fold_batch_norm(zoo.small_cnn().eval())
    recorded = {}  # by shape: seeds have different weights, and the same costs
    for run in shipped.sweeps["small_cnn"]:
        if run.method in ("svd", "tucker-2"):
            recorded.setdefault((run.method, run.fraction), set()).add((run.macs, run.parameters))
    for (method, fraction), costs in recorded.items():
        model = sweep.apart(dense, method, fraction, tucker_by="hosvd")
        assert costs == {(measure.macs(model, EXAMPLE), measure.parameters(model))}
    assert {method for method, _ in recorded} == {"svd", "tucker-2"}
    macs = {name: measure.macs(build(0), EXAMPLE) for name, build in equal.BUILDERS.items()}
    for net in shipped.equal:
        assert net.macs == macs[net.net]


def test_what_is_shipped_shows_what_it_is_shipped_for(shipped):
    """Of the figures in the file, not of this machine: nothing is timed here."""
    small, wide = (shipped.sweeps[name] for name in ("small_cnn", "wide_cnn"))
    for fraction in (0.125, 0.25, 0.375, 0.5):
        aware, plain = (
            record.against_control(small, way, fraction, "validation_after").mean for way in ("data-aware svd", "svd")
        )
        assert aware > plain
    # Both fall: at the rank that validation data chose, at least twice as fast for less than a point of test accuracy.
    fraction = record.choose_fraction(wide, "data-aware svd")
    assert record.against_control(wide, "data-aware svd", fraction).mean > -0.01
    times = {row.name: row for row in shipped.contest("wide_model", 32, "channels_last")}
    assert times[f"svd {fraction:g}"].times_faster >= 2
    # MACs fall and time does not.
    dense, _, tucker, _ = shipped.contest("small_layer", 32, "NCHW")
    assert dense.macs > 2.7 * tucker.macs and tucker.median_s > dense.median_s
    # The roofline is a bound from below for everything.
    assert all(row.bound_s < row.median_s for row in shipped.speed)


def test_a_damaged_record_says_how_to_get_it_back(tmp_path):
    path = tmp_path / "study.json"
    with pytest.raises(ValueError, match="is missing; to get it back, run `git restore studies/records/factorize.json"):
        record.recorded(path)
    path.write_text(record.to_json(tiny_study()))
    with pytest.raises(ValueError, match="is damaged: .*`python tools/factorize_study.py --record DIR"):
        record.recorded(path)


def test_a_row_is_plain_values():
    assert all(isinstance(value, (str, int, float)) for value in asdict(tiny_study().speed[0]).values())
