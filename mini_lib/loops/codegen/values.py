"""Numbers and operations in C: types, constants, conversions, and helper functions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mini_lib.loops.buffer import ELEMENT_BYTES
from mini_lib.loops.ir import Constant, Expression, Load
from mini_lib.loops.meaning.numbers import ARITHMETIC, is_float
from mini_lib.loops.show import STRENGTH

# Integers wrap. In C only unsigned integers do, so the text stores and calculates with these.
C_TYPES = {"f32": "float", "f64": "double", "i8": "uint8_t", "i32": "uint32_t", "i64": "uint64_t", "u64": "uint64_t"}
SIGNED = {"i8": "int8_t", "i32": "int32_t", "i64": "int64_t", "u64": "uint64_t"}
LARGEST_LANES_BYTES = 1024
ATOM = 9  # binds more tightly than any operator


class Term(NamedTuple):
    """A piece of C: its text, how tightly it binds, whether it has a value for each lane."""

    text: str
    strength: int = ATOM
    is_vector: bool = False


class Prelude:
    """The vector types and helper functions that a text needs, written above it."""

    def __init__(self, *, volatile: bool = False) -> None:
        self._volatile = "volatile " if volatile else ""
        self._types: dict[str, str] = {}
        self._functions: dict[str, str] = {}
        self.needs_math = False

    @property
    def lines(self) -> list[str]:
        """The lines of C text."""
        return [*self._types.values(), *self._functions.values()]

    def vector(self, dtype: str, lanes: int, *, signed: bool = False) -> str:
        """The name of a vector type, such as f32x16.

        Raises:
            ValueError: the number of lanes is not a power of two, or the vector is larger than 1024 bytes.
        """
        size_bytes = lanes * ELEMENT_BYTES[dtype]
        if lanes & (lanes - 1) or size_bytes > LARGEST_LANES_BYTES:
            raise ValueError(
                f"a vector of {lanes} {dtype} is not possible; vectorize a loop of 2, 4, 8, 16 ... "
                f"iterations, of {LARGEST_LANES_BYTES} bytes at most (64 bytes is the widest register)"
            )
        kind = "f" if is_float(dtype) else "i" if signed and dtype != "u64" else "u"
        name = f"{kind}{8 * ELEMENT_BYTES[dtype]}x{lanes}"
        element = SIGNED[dtype] if kind == "i" else C_TYPES[dtype]
        self._types.setdefault(name, f"typedef {element} {name} __attribute__((vector_size({size_bytes})));")
        return name

    def load(self, dtype: str, lanes: int) -> str:
        """The name of the function that loads a vector from any address."""
        kind, loose = self._loose(dtype, lanes)
        element = f"{self._volatile}const {C_TYPES[dtype]}"
        return self._function(
            f"load_{kind}",
            f"INLINE {kind} load_{kind}({element} *at) {{ return *({self._volatile}const {loose} *)at; }}",
        )

    def store(self, dtype: str, lanes: int) -> str:
        """The name of the function that stores a vector at any address."""
        kind, loose = self._loose(dtype, lanes)
        element = f"{self._volatile}{C_TYPES[dtype]}"
        return self._function(
            f"store_{kind}",
            f"INLINE void store_{kind}({element} *at, {kind} value) {{ *({self._volatile}{loose} *)at = value; }}",
        )

    def spread(self, dtype: str, lanes: int) -> str:
        """The name of the function that puts one value in all lanes."""
        kind = self.vector(dtype, lanes)
        copies = ", ".join("x" * lanes)
        return self._function(
            f"spread_{kind}", f"INLINE {kind} spread_{kind}({C_TYPES[dtype]} x) {{ return ({kind}){{{copies}}}; }}"
        )

    def call(self, operation: str, dtype: str, lanes: int | None) -> str:
        """The name of the function for max, min or exp."""
        if operation == "exp":
            self.needs_math = True
            scalar = "expf" if dtype == "f32" else "exp"
            if lanes is None:
                return scalar
            kind = self.vector(dtype, lanes)
            return self._function(
                f"exp_{kind}",
                f"INLINE {kind} exp_{kind}({kind} x) {{ for (int l = 0; l < {lanes}; l++) "
                f"x[l] = {scalar}(x[l]); return x; }}",
            )
        kind = C_TYPES[dtype] if lanes is None else self.vector(dtype, lanes)
        name = f"{operation}_{dtype if lanes is None else kind}"
        if lanes is not None and dtype in ("i64", "i32", "i8"):
            name += "s"  # signed: i64 and u64 share a vector type, but not max and min
        body = self._choice(">" if operation == "max" else "<", kind, dtype, lanes)
        return self._function(name, f"INLINE {kind} {name}({body}")

    def _choice(self, sign: str, kind: str, dtype: str, lanes: int | None) -> str:
        """The larger or smaller of two: `b > a ? b : a`; for vectors, C needs a mask."""
        if lanes is None:
            cast = "" if is_float(dtype) or dtype == "u64" else f"({SIGNED[dtype]})"
            return f"{kind} a, {kind} b) {{ return {cast}b {sign} {cast}a ? b : a; }}"
        bits = self.vector({"f32": "i32", "f64": "i64"}.get(dtype, dtype), lanes)
        compared = "" if is_float(dtype) else f"({self.vector(dtype, lanes, signed=True)})"
        return (
            f"{kind} a, {kind} b) {{ {bits} m = ({bits})({compared}b {sign} {compared}a); "
            f"return ({kind})((({bits})b & m) | (({bits})a & ~m)); }}"
        )

    def _loose(self, dtype: str, lanes: int) -> tuple[str, str]:
        """A vector type, and the same type for values at any address in memory."""
        kind = self.vector(dtype, lanes)
        size_bytes = lanes * ELEMENT_BYTES[dtype]
        self._types.setdefault(
            f"{kind}_at",
            f"typedef {C_TYPES[dtype]} {kind}_at "
            f"__attribute__((vector_size({size_bytes}), aligned({ELEMENT_BYTES[dtype]})));",
        )
        return kind, f"{kind}_at"

    def add(self, text: str) -> None:
        """Add a line that is complete in itself, once."""
        self._functions.setdefault(text, text)

    def _function(self, name: str, text: str) -> str:
        self._functions.setdefault(name, text)
        return name


def constant_text(value: float, dtype: str) -> str:
    """A constant as C text: `0.25f`, `-INFINITY`, `3u`, `(uint32_t)-1`."""
    with np.errstate(over="ignore"):
        number = ARITHMETIC[dtype].convert(value)
    if not is_float(dtype):
        if number < 0:
            # the lowest number has no literal of its own
            return f"({C_TYPES[dtype]})({number + 1}ll - 1)"
        return f"({C_TYPES[dtype]}){number}" if dtype == "i8" else f"{number}u" + "ll" * ("64" in dtype)
    if not np.isfinite(number):
        text = "NAN" if np.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"
        return f"({C_TYPES[dtype]}){text}"
    return f"{number}" + "f" * (dtype == "f32")


def convert(term: Term, source: str, target: str, lanes: int | None, prelude: Prelude) -> Term:
    """A loaded value in the type that the statement calculates in; integers keep their sign."""
    if source == target or {source, target} == {"i64", "u64"}:
        return term
    if term.is_vector:
        kind = prelude.vector(target, lanes)
        text = term.text
        if not is_float(source):
            text = f"({prelude.vector(source, lanes, signed=True)}){text}"
        return Term(f"__builtin_convertvector({text}, {kind})", ATOM, True)
    cast = "" if is_float(source) else f"({SIGNED[source]})"
    return Term(f"({C_TYPES[target]}){cast}{term.text}", ATOM)


def expression(
    value: Expression, operand: Callable[[Load], Term], dtype: str, lanes: int | None, prelude: Prelude
) -> Term:
    """An expression with no more parentheses than it needs; `operand` gives the C text of a load."""
    if isinstance(value, Constant):
        text = constant_text(value.value, dtype)
        prelude.needs_math |= text.endswith(("INFINITY", "NAN"))
        return Term(text)
    if isinstance(value, Load):
        return operand(value)
    parts = [expression(part, operand, dtype, lanes, prelude) for part in value.arguments]
    is_vector = any(part.is_vector for part in parts)
    width = lanes if is_vector else None
    if value.name not in STRENGTH:
        texts = [in_all_lanes(part, dtype, lanes, prelude).text if is_vector else part.text for part in parts]
        return Term(f"{prelude.call(value.name, dtype, width)}({', '.join(texts)})", ATOM, is_vector)
    own = STRENGTH[value.name]
    left, right = parts
    first = f"({left.text})" if left.strength < own else left.text
    second = f"({right.text})" if right.strength <= own else right.text
    text = f"{first} {value.name} {second}"
    if dtype == "i8" and not is_vector:  # C calculates small integers as int
        return Term(f"(uint8_t)({text})")
    return Term(text, own, is_vector)


def in_all_lanes(term: Term, dtype: str, lanes: int, prelude: Prelude) -> Term:
    """The same value as a vector."""
    if term.is_vector:
        return term
    return Term(f"{prelude.spread(dtype, lanes)}({term.text})", ATOM, True)
