"""Small floats: a sign, a few bits of exponent and a few of mantissa, in 8 or 4 bits altogether.

A code is the pattern of the bits, read as a whole number. Without its sign bit it counts the magnitudes upwards: first
the subnormals, evenly spaced from 0, then 2**mantissa_bits values between each power of two and the next. Encoding uses
this order. Round the magnitude to a multiple of the step between two powers of two, and add the codes below:

    e = max(floor(log2 |x|), lowest_exponent)
    code = (e - lowest_exponent) * 2**mantissa_bits + round(|x| / 2**(e - mantissa_bits))

Where rounding reaches the next power of two, the code automatically continues into the next exponent.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

import torch
from torch import Tensor

from mini_lib.require import checked, of_type, whole
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class MiniFloat:
    """A floating point type of `1 + exponent_bits + mantissa_bits` bits, with the exponent bias of IEEE 754.

    specials: the meaning of the highest codes of each sign if they are not numbers.

    Raises:
        TypeError: a number of bits is not a whole number, or `specials` is not a tuple.
        ValueError: a number of bits is out of range, there are more than 16 altogether, or no code is left.

    >>> fp4 = MiniFloat(exponent_bits=2, mantissa_bits=1)
    >>> fp4.values[:8].tolist()                          # 0 and 0.5 are subnormal; 1 and 1.5, 2 and 3, 4 and 6 are not
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    """

    exponent_bits: int
    mantissa_bits: int
    specials: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        checked(self, "exponent_bits", whole, low=1, high=8, fix="E4M3 has 4")
        checked(self, "mantissa_bits", whole, low=0, high=23, fix="E4M3 has 3")
        of_type("specials", self.specials, tuple, fix="give the values of the highest codes, (nan,) say")
        if self.bits > 16 or len(self.specials) >= 2 ** (self.bits - 1):
            raise ValueError(f"a small float has at most 16 bits, and codes for numbers, got {self}; E4M3 has 8")

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def lowest_exponent(self) -> int:
        """The exponent of the smallest normal number, which is also that of the subnormals."""
        return 2 - 2 ** (self.exponent_bits - 1)

    @property
    def largest(self) -> float:
        """The largest finite value: 448 for E4M3, 57,344 for E5M2, 6 for E2M1."""
        return float(self.values[self._largest_code])

    @property
    def values(self) -> Tensor:
        """What each code stands for, float32 [2**bits]; the upper half are the negative values."""
        codes = torch.arange(2 ** (self.bits - 1))
        exponent, mantissa = codes >> self.mantissa_bits, codes & (2**self.mantissa_bits - 1)
        implicit = torch.where(exponent > 0, 2**self.mantissa_bits, 0)
        power = exponent.clamp(min=1) - 1 + self.lowest_exponent - self.mantissa_bits
        magnitudes = torch.ldexp((implicit + mantissa).float(), power)
        magnitudes[self._largest_code + 1 :] = torch.tensor(self.specials)
        return torch.cat([magnitudes, -magnitudes])

    def encode(self, x: Tensor) -> Tensor:
        """Return the code of the nearest value (int32, shape of `x`); of two equally near, the even code.

        A value beyond the largest one becomes the largest: it saturates, and nothing becomes infinite. A NaN becomes
        the highest code, and a zero keeps its sign.

        Raises:
            TypeError: `x` is not a tensor.
            ValueError: `x` holds NaN, and the type has no code for it.

        >>> E4M3.encode(torch.tensor([0.0, 1.0, 1.0625, -1.1875, 448.0, 1e9])).tolist()  # 2**0 is code (0 + 7) * 8
        [0, 56, 56, 186, 126, 126]

        Source: OCP 2023, "OCP Microscaling Formats (MX) Specification" 1.0, section 6.3.
        """
        need_tensor("x", x, floating=False, empty=True, fix="use a tensor of floats, torch.tensor([...])")
        x = x.float()
        magnitude = x.abs()
        not_a_number = magnitude.isnan()
        if not self.specials and bool(not_a_number.any()):
            raise ValueError(f"x holds NaN, which no code of {self.bits} bits stands for; find out where it comes from")
        exponent = torch.frexp(magnitude.clamp(min=2.0**self.lowest_exponent)).exponent - 1
        steps = torch.ldexp(magnitude, self.mantissa_bits - exponent).round()
        codes = (exponent - self.lowest_exponent) * 2**self.mantissa_bits + steps
        codes = torch.where(not_a_number, 2 ** (self.bits - 1) - 1, codes.clamp(max=self._largest_code))
        return (codes + 2 ** (self.bits - 1) * torch.signbit(x)).to(torch.int32)

    @property
    def _largest_code(self) -> int:
        return 2 ** (self.bits - 1) - 1 - len(self.specials)


# Micikevicius 2022, "FP8 Formats for Deep Learning", table 1: E4M3 gives up infinity for one more power of two.
E4M3 = MiniFloat(4, 3, (nan,))
E5M2 = MiniFloat(5, 2, (inf, nan, nan, nan))
E2M1 = MiniFloat(2, 1)  # OCP 2023, section 5.3.3: neither infinity nor NaN
ELEMENTS = {"e4m3": E4M3, "e5m2": E5M2, "e2m1": E2M1}
