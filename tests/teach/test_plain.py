"""Plain data: what is left of a returned value once it is only numbers, text and tensors."""

import dataclasses
import enum
from fractions import Fraction

import numpy
import pytest
import torch

from teach.plain import Opaque, plain


@dataclasses.dataclass
class Cost:
    macs: int
    name: str


class Kind(enum.IntEnum):
    CONV = 3


@pytest.mark.parametrize(
    "thing, value",
    [
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3),
        (numpy.bool_(True), True),
        (numpy.array(2.0), 2.0),
        (torch.tensor(3), 3),
        (torch.nn.Parameter(torch.tensor(0.5)), 0.5),
        (torch.Size([2, 3]), (2, 3)),
        (Fraction(1, 4), 0.25),
        (Cost(12, "fc"), {"macs": 12, "name": "fc"}),
        ({"a": numpy.int8(1)}, {"a": 1}),
        (torch.float16, "torch.float16"),
        (Kind.CONV, 3),
        (range(3), [0, 1, 2]),
        (None, None),
    ],
)
def test_plain_data(thing, value):
    found = plain(thing)
    assert found == value and type(found) is type(value)


def test_tensors_of_every_kind_become_dense_tensors_of_their_own():
    sparse = torch.eye(2).to_sparse()
    assert torch.equal(plain(sparse), torch.eye(2))
    source = numpy.array([1.0, 2.0])
    copied = plain(source)
    source[0] = 9.0
    assert copied.tolist() == [1.0, 2.0] and copied.dtype == torch.float64
    assert plain(numpy.arange(3)[::-1]).tolist() == [2, 1, 0]
    assert plain(numpy.arange(3, dtype=">i2")).tolist() == [0, 1, 2]
    assert plain(numpy.ones(2, dtype=numpy.longdouble)).tolist() == [1.0, 1.0]
    assert plain(numpy.array(["a", "b"])) == ["a", "b"]
    with_gradient = torch.ones(2, requires_grad=True)
    assert not plain(with_gradient).requires_grad


def test_what_is_not_data_keeps_only_its_kind():
    assert plain(x for x in []) == Opaque("generator")
    assert plain(torch.nn.ReLU()) == Opaque("ReLU")
    assert plain(1j) == Opaque("complex")
    assert plain(torch.ones(2, device="meta")) == Opaque("tensor", "it is on the device meta, which holds no values")
    assert plain(10**400).kind == "integer"
