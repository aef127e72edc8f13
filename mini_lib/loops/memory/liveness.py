"""The steps at which each tensor of a graph of layers is needed: the input of a memory plan.

The steps run one after the other. A tensor takes memory from the step that writes it to the last step that reads it,
both included: a layer cannot overwrite an input that it still reads, unless it works in place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mini_lib.require import checked, of_type, shown, whole


@dataclass(frozen=True)
class Step:
    """One layer: the names of the tensors that it reads, and the size of each that it writes.

    With `in_place` its output is written over its first input, as a ReLU can do.

    Raises:
        TypeError: a size is not a whole number, or `inputs` is one string.
        ValueError: there is no output, a size is below 1, or an in-place step does not have an input and exactly one
            output.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, int]
    in_place: bool = False

    def __post_init__(self) -> None:
        of_type("name of a step", self.name, str, fix="give it a name")
        if isinstance(self.inputs, str):
            raise TypeError(f"inputs of {self.name!r} must be a tuple of names, got {self.inputs!r}; write (name,)")
        inputs = of_type(f"inputs of {self.name!r}", self.inputs, Iterable, fix="pass a tuple of names")
        object.__setattr__(
            self, "inputs", tuple(of_type("each of inputs", one, str, fix="pass names") for one in inputs)
        )
        object.__setattr__(self, "outputs", _sizes(f"outputs of {self.name!r}", self.outputs))
        if not self.outputs:
            raise ValueError(
                f"step {self.name!r} writes nothing, got outputs={{}}, expected {{name: size_bytes}}; leave it out"
            )
        checked(self, "in_place", of_type, kinds=(bool, int), fix="pass True or False")
        if self.in_place and (len(self.outputs) != 1 or not self.inputs):
            raise ValueError(
                f"step {self.name!r} works in place, so it needs an input and one output, got "
                f"{len(self.inputs)} inputs and {len(self.outputs)} outputs; use in_place=False"
            )


@dataclass(frozen=True)
class LiveRange:
    """A buffer of `size_bytes` that is needed from `first_step` to `last_step`, both included.

    `tensors` names all tensors that use it, one after the other, where layers work in place.

    Raises:
        TypeError: a size or a step is not a whole number.
        ValueError: the size is below 1, a step below 0, or the last step comes before the first.
    """

    name: str
    size_bytes: int
    first_step: int
    last_step: int
    tensors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        of_type("name of a buffer", self.name, str, fix="give it a name")
        size_bytes = whole(f"size_bytes of {self.name!r}", self.size_bytes, low=1, fix="leave out what takes no memory")
        first_step = whole(f"first_step of {self.name!r}", self.first_step, low=0, fix="count steps from 0")
        fix = "a buffer is alive at the step that writes it, at least"
        last_step = whole(f"last_step of {self.name!r}", self.last_step, low=first_step, fix=fix)
        for field, number in (("size_bytes", size_bytes), ("first_step", first_step), ("last_step", last_step)):
            object.__setattr__(self, field, number)
        checked(self, "tensors", of_type, kinds=Iterable, fix="pass a tuple of names, or leave it out")
        object.__setattr__(self, "tensors", tuple(self.tensors) or (self.name,))

    @property
    def steps(self) -> int:
        """The number of steps at which it is alive."""
        return self.last_step - self.first_step + 1

    def meets(self, other: LiveRange) -> bool:
        """Say whether both are alive at some step, so that they cannot share memory.

        Raises:
            TypeError: `other` is not a live range.

        >>> LiveRange("x", 8, 0, 1).meets(LiveRange("y", 8, 1, 2))
        True
        """
        of_type("other", other, LiveRange, fix="pass one of those that live_ranges returns")
        return self.first_step <= other.last_step and other.first_step <= self.last_step


def live_ranges(steps: Iterable[Step], inputs: Mapping[str, int], keep: Collection[str] = ()) -> tuple[LiveRange, ...]:
    """Return the steps at which each buffer is needed, in the order in which they are first written.

    `inputs` gives the sizes in bytes of the graph's inputs, which are alive from step 0. A tensor that no step reads is
    a result of the graph and stays until the end, and so do the tensors that `keep` names.

    Raises:
        ValueError: there is no step; a step reads a tensor that was not written; a tensor is written twice; or a step
            in place would overwrite a tensor that is needed later, or does not fit into its input.

    x is read by both steps, y is read by the second, which writes the result z:

    >>> steps = [Step("conv", ("x",), {"y": 8}), Step("add", ("y", "x"), {"z": 8})]
    >>> [(r.name, r.first_step, r.last_step) for r in live_ranges(steps, {"x": 8})]
    [('x', 0, 1), ('y', 0, 1), ('z', 1, 1)]

    In place, z takes over the buffer of y:

    >>> steps[1] = Step("add", ("y", "x"), {"z": 8}, in_place=True)
    >>> [(r.tensors, r.first_step, r.last_step) for r in live_ranges(steps, {"x": 8})]
    [(('x',), 0, 1), (('y', 'z'), 0, 1)]
    """
    steps = tuple(of_type("steps", steps, Iterable, fix="pass the layers, each a Step"))
    for step in steps:
        of_type("each of steps", step, Step, fix="pass Step(name, inputs, outputs)")
    inputs, keep = _sizes("inputs", inputs), _names("keep", keep)
    if not steps:
        raise ValueError("steps must hold at least one Step, got none; pass the layers in the order in which they run")
    last_read = {tensor: at for at, step in enumerate(steps) for tensor in step.inputs}
    written = [tensor for step in steps for tensor in step.outputs]
    unknown = [tensor for tensor in keep if tensor not in (*inputs, *written)]
    if unknown:
        raise ValueError(f"keep names {unknown}, got only {[*inputs, *written]}; correct the name")
    end = {
        tensor: len(steps) - 1 if tensor in keep or tensor not in last_read else last_read[tensor]
        for tensor in (*inputs, *written)
    }
    buffers = {tensor: LiveRange(tensor, size_bytes, 0, end[tensor]) for tensor, size_bytes in inputs.items()}
    home = {tensor: tensor for tensor in inputs}  # the buffer of each tensor
    for at, step in enumerate(steps):
        for tensor in step.inputs:
            if tensor not in home:
                raise ValueError(
                    f"step {step.name!r} reads {tensor!r}, which is written by no step before it; "
                    f"there are {list(home)}: put the steps in order, or name it in `inputs`"
                )
        for tensor, size_bytes in step.outputs.items():
            if tensor in home:
                raise ValueError(f"step {step.name!r} writes {tensor!r} a second time; give each tensor its own name")
            if step.in_place:
                taken = buffers[home[step.inputs[0]]]
                _require_free(step, at, end[step.inputs[0]], size_bytes, taken)
                home[tensor] = taken.name
                buffers[taken.name] = replace(taken, last_step=end[tensor], tensors=(*taken.tensors, tensor))
            else:
                home[tensor] = tensor
                buffers[tensor] = LiveRange(tensor, size_bytes, at, end[tensor])
    return tuple(buffers.values())


def _require_free(step: Step, at: int, needed_until: int, size_bytes: int, taken: LiveRange) -> None:
    if needed_until > at:
        raise ValueError(
            f"step {step.name!r} (step {at}) would overwrite {step.inputs[0]!r}, which is needed "
            f"until step {needed_until}; use in_place=False"
        )
    if size_bytes > taken.size_bytes:
        raise ValueError(
            f"step {step.name!r} writes {size_bytes} bytes in place into the {taken.size_bytes} of "
            f"{taken.name!r}; use in_place=False"
        )


def chain(layers: Sequence[tuple[str, int]], in_place: Collection[str] = ()) -> tuple[Step, ...]:
    """Return the steps of layers that each read the output of the one before; the first reads "input".

    `layers` is a table of names and bytes of the output; layers that `in_place` names overwrite their input.

    Raises:
        ValueError: `in_place` names a layer that is not there.

    >>> steps = chain([("conv", 16), ("relu", 16), ("pool", 4)], in_place={"relu"})
    >>> [(r.tensors, r.size_bytes) for r in live_ranges(steps, {"input": 8})]
    [(('input',), 8), (('conv', 'relu'), 16), (('pool',), 4)]
    """
    fix = "pass (name, bytes of the output) for each layer"
    for layer in of_type("layers", layers, Sequence, fix=fix):
        if not isinstance(layer, (tuple, list)) or len(layer) != 2 or not isinstance(layer[0], str):
            raise TypeError(f"a layer must be a pair, got {shown(layer)}; {fix}")
    in_place = _names("in_place", in_place)
    names = ["input", *(name for name, _ in layers)]
    unknown = [name for name in in_place if name not in names[1:]]
    if unknown:
        raise ValueError(f"in_place names {unknown}, got only the layers {names[1:]}; correct the name")
    return tuple(
        Step(name, (before,), {name: size_bytes}, in_place=name in in_place)
        for before, (name, size_bytes) in zip(names, layers, strict=False)
    )


def peak_live_bytes(ranges: Sequence[LiveRange], alignment_bytes: int = 1) -> int:
    """Return the most bytes that are alive at one step: no plan can need less.

    Sizes are rounded up to whole `alignment_bytes`, as in a plan.

    >>> peak_live_bytes([LiveRange("x", 8, 0, 1), LiveRange("y", 4, 1, 2), LiveRange("z", 2, 2, 3)])
    12
    """
    alignment_bytes = whole("alignment_bytes", alignment_bytes, low=1, fix="use 64, a cache line, or 1 for none")
    ranges = tuple(of_type("ranges", ranges, Iterable, fix="pass live_ranges(steps, inputs)"))
    for live in ranges:
        of_type("each of ranges", live, LiveRange, fix="pass live_ranges(steps, inputs)")
    return max(
        (
            sum(aligned_bytes(r.size_bytes, alignment_bytes) for r in ranges if r.first_step <= at <= r.last_step)
            for at in {r.first_step for r in ranges}  # the sum can only grow at a step where a buffer is first written
        ),
        default=0,
    )


def _sizes(name: str, sizes: object) -> dict[str, int]:
    """The bytes of each tensor, as plain numbers."""
    of_type(name, sizes, Mapping, fix="pass such as {'x': 64}")
    fix = "pass elements times bytes of each"
    return {
        of_type(f"a name in {name}", tensor, str, fix="name a tensor"): whole(
            f"size_bytes of {shown(tensor)}", size_bytes, low=1, fix=fix
        )
        for tensor, size_bytes in sizes.items()
    }


def _names(name: str, names: object) -> tuple[str, ...]:
    """Names as a tuple; a single name becomes a tuple of one."""
    return (
        (names,)
        if isinstance(names, str)
        else tuple(
            of_type(f"each of {name}", one, str, fix="pass names")
            for one in of_type(name, names, Collection, fix="pass a tuple of names")
        )
    )


def aligned_bytes(size_bytes: int, alignment_bytes: int) -> int:
    """Return a size rounded up to whole `alignment_bytes`.

    >>> aligned_bytes(65, 64)
    128
    """
    return -(-size_bytes // alignment_bytes) * alignment_bytes
