"""General slips: each rule names its slip where there is evidence, and stays silent where chance explains as much."""

import copy
import math

import pytest
import torch

from teach.exercise import Case
from teach.slips.find import find_slip
from teach.slips.seen import Seen, aligned, distinct, enough, leaves, numbers


def said(*pairs, passing=(), **arguments):
    """What is said of answers (got, expected); arguments are rows, one value for each pair, failing before passing."""

    def right(one, other):
        pair = aligned(one, other)
        return one == other if pair is None else bool(torch.isclose(*pair).all())

    cases = [
        Seen(got, expected, {name: row[at] for name, row in arguments.items()})
        for at, (got, expected) in enumerate((*pairs, *passing))
    ]
    return find_slip(cases[: len(pairs)], cases[len(pairs) :], right)


def each(function, *rights):
    return [(function(right), right) for right in rights]


ROW = torch.tensor([1.5, -2.25, 0.5, 3.0, -0.75])
SHARES = torch.tensor([0.1, 0.25, 0.6, 0.05])


class TestNumbers:
    @pytest.mark.parametrize(
        "times, clause",
        [
            (2, "it is always 2 times too large. Is something counted twice?"),
            (1 / 2, "it is always 2 times too small. Does something count twice"),
            (8, "it is always 8 times too large. A byte has 8 bits: are these bits instead of bytes?"),
            (1 / 8, "it is always 8 times too small. A byte has 8 bits: are these bytes instead of bits?"),
            (100, "it is always 100 times too large. Is this a percentage instead of a share?"),
            (1e-6, "it is always 1,000,000 times too small. Check the unit: millions (mega, micro)."),
            (1024, "it is always 1,024 times too large. Check the unit: KiB or bytes?"),
            (1.024**2, "it is 1.049 times too large: MB and MiB are mixed up"),
            (3, "it is always 3 times too large."),
            (3600**2, "it is always 12,960,000 times too large. That is 3,600 squared: do you multiply where"),
        ],
    )
    def test_a_factor(self, times, clause):
        assert said(*each(lambda x: times * x, 1.5, 7.0, 11.0)).startswith(clause)
        assert said(*each(lambda x: times * x, ROW, 2 * ROW, ROW + 1)).startswith(clause)

    def test_a_factor_where_some_cases_are_right(self):
        # an answer that forgets the bits in one branch: right elsewhere
        clause = said((16, 2), (40, 5), (56, 7), passing=[(3, 3)])
        assert clause.startswith("where it is wrong, it is 8 times too large.")

    @pytest.mark.parametrize(
        "pairs",
        [
            [(16, 2), (40, 5)],  # two cases
            [(16, 2), (16, 2), (16, 2)],  # one and the same
            [(16, 2), (40, 5), (56.5, 7)],  # nearly
            [(3.0, 2), (7.5, 5), (10.5, 7)],  # 1.5 is nothing that one knows
            [(0, 2), (0, 5), (0, 7)],  # zero is no multiple
            [(True, False), (True, False), (True, False)],
            [(math.nan, 2.0), (math.nan, 3.0), (math.nan, 4.0)],
            [(math.inf, 2.0), (math.inf, 3.0), (math.inf, 4.0)],
        ],
    )
    def test_no_factor(self, pairs):
        assert "times" not in said(*pairs)

    @pytest.mark.parametrize(
        "function, word",
        [
            (lambda x: -x, "has the wrong sign"),
            (lambda x: 1 - x, "1 minus the right value"),
            (lambda x: 1 / x, "the reciprocal"),
            (lambda x: x**2, "the square of the right value"),
            (lambda x: x**0.5, "the square root of the right value"),
        ],
    )
    def test_a_function_of_the_right_value(self, function, word):
        assert word in said(*each(function, 0.2, 0.3, 0.7))
        assert word in said((function(SHARES), SHARES))  # one value of four different numbers is enough
        assert said(*each(function, 0.2, 0.3)) == ""  # two cases are not

    def test_a_share_lies_between_0_and_1(self):
        assert "1 minus" not in said((-1, 2), (-2, 3), (-4, 5))

    def test_logarithm_and_exponential(self):
        assert "the natural logarithm" in said(*each(math.log, 2.0, 3.0, 9.0))
        assert "`exp` of the right value" in said(*each(math.exp, 2.0, 3.0, 9.0))
        assert "base-2" in said(*each(math.log2, 2.0, 3.0, 9.0))

    def test_signs(self):
        negative = torch.tensor([-1.5, -2.25, 0.5, -3.0, -0.75])
        assert "has lost its sign" in said((negative.abs(), negative))
        assert said((ROW.abs(), ROW)) == ""  # two of its values are negative, and that might be chance
        some = ROW * torch.tensor([-1, 1, -1, 1, 1])
        assert said(*each(lambda x: x * some / ROW, ROW, ROW * 3 - 20, ROW + 9)) == (
            "it has the right magnitude but the wrong sign"
        )

    def test_a_coincidence_of_zeros_and_halves_is_no_slip(self):
        # 0 is its own negative, 1/2 its own complement, 1 its own square and reciprocal: nothing there differs
        right = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
        assert said((1 - right, right)) == ""
        assert said((-right, right)) == ""
        assert said((torch.zeros(6), right), (torch.zeros(6), right)) == ""

    def test_by_one(self):
        assert said(*each(lambda n: n + 1, 2, 5, 9)) == "it is always 1 too large: check whether the ends count"
        assert said(*each(lambda n: n - 1, 2, 5, 9), passing=[(4, 4)]) == (
            "where it is wrong, it is 1 too small: check the rounding, and whether the ends count"
        )
        assert said(*each(lambda n: n + 1, 2, 2, 2)) == ""
        assert said(*each(lambda x: x + 1, 2.5, 5.5, 9.0)).endswith("look for a 1 that is added or subtracted")
        assert "1 too large" not in said((1.0, 1e-9), (1.0, 2e-9), (1.0, 3e-9))

    def test_rounded(self):
        assert said((2, 2.7), (0, 0.9), (5, 5.6)) == "it is cut to a whole number: return the exact value"
        assert said((3, 2.7), (1, 0.9), (5, 5.2)) == "it is rounded to a whole number: return the exact value"
        assert said((2, 2.2), (0, 0.1), (5, 5.3)) == ("it is cut or rounded to a whole number: return the exact value")
        assert "rounded to 2 decimals" in said((0.67, 2 / 3), (0.14, 1 / 7), (0.11, 1 / 9))
        assert said((2, 2.7), (0, 0.9)) == ""

    def test_not_yet_rounded(self):
        assert said((2.7, 2), (0.9, 0), (5.6, 5)) == "it is not a whole number yet: round it down"
        assert said((2.2, 3), (0.9, 1), (5.6, 6), passing=[(4.0, 4)]) == (
            "where it is wrong, it is not a whole number yet: round it up"
        )
        assert said((2.2, 2.0), (0.1, 0.0), (5.3, 5.0)) == ""  # near a number is not the same as on the way to it
        assert said((2.2, 2), (0.1, 0), (5.3, 5)) == "it is not a whole number yet: round it"


class TestPlaces:
    def test_one_where_two_are_wanted(self):
        assert said((1.0, (1.0, 2)), (3.0, (3.0, 4)), (5.0, (5.0, 6))) == (
            "you return one value instead of two: it is the first of the two"
        )
        assert said((7.0, (1.0, 2)), (7.0, (3.0, 4))) == "you return one value instead of two"
        assert said((ROW, (ROW, 2.0))) == "you return one value instead of two: it is the first of the two"

    def test_a_tensor_of_two_numbers_is_a_pair(self):
        assert said((torch.tensor([1.0, 3.0]), (1.0, 2.0))) == ""

    def test_two_where_one_is_wanted(self):
        pairs = [((right.max(), right), right) for right in (ROW, SHARES)]
        assert said(*pairs) == "it has more values than asked for: return only the second of its two values"

    def test_swapped(self):
        pairs = [((b, a), (a, b)) for a, b in ((1, 2), (3, 4), (5, 6))]
        assert said(*pairs) == "the two values are right, but in the wrong order: swap them"
        assert said(*pairs[:2]) == ""
        names = [((b, a), (a, b)) for a, b in (("in", "out"), ("x", "y"), ("out", "x"))]
        assert "swap them" in said(*names)
        assert "swap" not in said(((1, 1), (1, 2)), ((3, 3), (3, 4)), ((5, 5), (5, 6)))

    def test_an_inverted_mask(self):
        mask = torch.tensor([True, False, True, False])
        assert said((~mask, mask)) == "it is True where False is right, and False where True is right: invert it"
        assert said((~mask, mask), passing=[(mask, mask)]) == ""
        ones = torch.ones(4, dtype=torch.bool)
        assert said((~ones, ones)) == ""  # a mask of zeros is not turned around
        assert said((False, True), (True, False)) == ""
        assert "invert it" in said((False, True), (True, False), (False, True), (True, False))

    def test_reshaped(self):
        square = SHARES.reshape(2, 2)
        assert said((SHARES, square)) == "the values are right, but it has shape (4,), expected (2, 2)"
        assert said((torch.zeros(4), torch.zeros(2, 2))) == ""
        alone = said(*[(torch.tensor([x]), x) for x in (1.0, 2.0, 3.0)])
        assert alone == "the number is right, but it is inside a tensor or list: return the number itself"

    def test_another_order(self):
        assert said((ROW.flip(0), ROW)) == "it holds the right values in reverse order"
        assert "sorted:" in said((ROW.sort().values, ROW))
        assert "sorted in descending order" in said((ROW.sort(descending=True).values, ROW))
        assert said((ROW.roll(1), ROW)) == "it holds the right values in another order"
        table = torch.arange(6.0).reshape(2, 3)
        assert "transpose" in said((table.T, table))

    def test_a_wrong_choice_of_few_values_is_not_called_another_order(self):
        codes = torch.tensor([0.0, 0.0, 1.0, 2.0, 0.0, 0.0])
        assert said((codes.roll(1), codes)) == ""
        assert said((torch.tensor([2.0, 1.0]), torch.tensor([1.0, 2.0]))) == ""

    def test_one_missing(self):
        pairs = [([1, 2], [1, 2, 3]), ([4], [4, 5]), ([7, 8], [7, 8, 9])]
        assert said(*pairs) == "it is missing the last value; the others are right"
        assert "is missing the first" in said(*[(right[1:], right) for _, right in pairs])
        assert "extra value at the end" in said(*[([*right, 0], right) for _, right in pairs])
        assert "extra value at the beginning" in said(*[([0, *right], right) for _, right in pairs])
        assert said(*pairs[:2]) == ""

    def test_another_container(self):
        pairs = [({"a": n, "b": n + 1}, [n, n + 1]) for n in (1, 3, 5)]
        assert said(*pairs) == "the values are right, but it is a dict, expected a list"
        assert "a list, expected a dict" in said(*[(list(one.items()), one) for one, _ in pairs])
        assert said(*[({"a": n, "b": 0}, [n, n + 1]) for n in (1, 3, 5)]) == ""

    def test_text(self):
        assert said(("0.5", 0.5)) == "it is the text '0.5', expected a number"


class TestArguments:
    def test_an_argument_that_comes_back(self):
        rows = [(ROW, ROW + 1), (SHARES, SHARES * 3)]
        assert said(*rows, w=[ROW, SHARES], bits=[4, 8]) == "it is the argument `w`, unchanged"
        assert said((1, 2), (1, 3), w=[1, 1]) == ""

    def test_a_factor_or_term_of_the_size_of_an_argument(self):
        arguments = dict(bits=[2, 3, 8], n=[7, 9, 11])
        rights = (10.0, 13.0, 17.0)

        def with_(size):
            return said(*[(size(right, bits), right) for right, bits in zip(rights, arguments["bits"])], **arguments)

        assert with_(lambda right, bits: right * bits).startswith("it is too large by a factor of `bits`: divide by it")
        assert with_(lambda right, bits: right / bits).startswith("it is too small by a factor of `bits`: multiply")
        assert with_(lambda right, bits: right * bits**2).startswith(
            "it is too large by a factor of the square of `bits`"
        )
        assert with_(lambda right, bits: right + bits).startswith("it is too large by `bits`: subtract it")
        assert with_(lambda right, bits: right - bits).startswith("it is too small by `bits`: add it")

    def test_a_sum_where_the_mean_is_wanted(self):
        rows = [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 2.0, 6.0, 7.0])]
        clause = said(*[(float(row.sum()), float(row.mean())) for row in rows], w=rows)
        assert clause.startswith("it is too large by a factor of the number of values in `w`")

    def test_two_arguments_of_one_size_are_not_told_apart(self):
        pairs = [(20.0, 10.0), (39.0, 13.0), (136.0, 17.0)]
        assert said(*pairs, bits=[2, 3, 8], n=[2, 3, 8]) == ""

    def test_a_right_case_speaks_against_it(self):
        pairs = [(20.0, 10.0), (39.0, 13.0), (136.0, 17.0)]
        assert said(*pairs, passing=[(5.0, 5.0)], bits=[2, 3, 8, 4]) == ""
        assert "`bits`" in said(*pairs, passing=[(5.0, 5.0)], bits=[2, 3, 8, 1])


class TestOneItem:
    def test_the_item_that_is_wrong_is_named(self):
        pairs = [((a, 8 * b), (a, b)) for a, b in ((1, 2), (3, 5), (4, 7))]
        assert said(*pairs).startswith("the second value is always 8 times too large.")
        tables = [({"scale": -a, "zero": b}, {"scale": a, "zero": b}) for a, b in ((1, 2), (3, 5), (4, 7))]
        assert said(*tables) == "the entry 'scale' has the wrong sign"

    def test_two_wrong_items_are_seen_as_one(self):
        pairs = [((8 * a, 8 * b), (a, b)) for a, b in ((1, 2), (3, 5), (4, 7))]
        assert said(*pairs).startswith("it is always 8 times too large.")
        pairs = [((2 * a, 8 * b), (a, b)) for a, b in ((1, 2), (3, 5), (4, 7))]
        assert said(*pairs) == ""


class TestEvidence:
    def test_values_are_counted_by_what_they_hold(self):
        assert distinct([torch.tensor([1, 2]), [1.0, 2.0], (1, 3)]) == 2
        assert leaves({"a": [None, 1], "b": "x"}) == [1, "x"]

    def test_three_values_or_one_rich_one(self):
        assert enough([1, 2, 3]) and not enough([1, 2, 2])
        assert enough([[1, 2, 3, 4]]) and not enough([[1, 1, 2, 3]])

    @pytest.mark.parametrize("thing", ["1", True, None, [1, "2"], [[1], [2, 3]], {"a": 1}, Case(1)])
    def test_what_is_no_number(self, thing):
        assert numbers(thing) is None

    def test_values_of_two_layouts_are_not_aligned(self):
        assert aligned([1, 2], [1, 2, 3]) is None
        assert aligned({"a": 1}, {"b": 1}) is None
        assert aligned((1, [2, 3]), (1, torch.tensor([4, 5])))[0].tolist() == [1, 2, 3]


def test_dicts_of_tensors_are_compared_entry_by_entry():
    pairs = [({"a": n * torch.ones(2)}, {"a": torch.tensor([n, 10.0])}) for n in (2, 3, 4)]
    failing = [Seen(copy.deepcopy((second, first)), (first, second), {}) for first, second in pairs]
    told = find_slip(failing, [], lambda got, expected: False)
    assert told == "the two values are right, but in the wrong order: swap them"
