"""Kernels in C: the loops in which a layer spends its time. Nothing here knows a topic's classes.

To add a kernel, write two files with the same name. `NAME.c` holds functions that return nothing; what is constant at
compile time (a type, the side of a block) is a define. `NAME.py`, its binding, has a function `bind_...` for each
function in C: it checks with `need_layout` that the tensors are what C expects, and passes them to `bound`, which
compiles the function and returns the call. A topic's class (a sparse format, packed codes) passes its tensors to
`bind_...`. Where an instruction set needs code of its own, as for packed.c, that is in a file `NAME_SET.c`, which is
put before the other. Tests go to tests/kernels: every way in which the function is compiled, against exact results.
"""

from mini_lib.kernels.binding import bound, compiled_function, need_layout, thread_count
from mini_lib.kernels.decoder import attend_scratch, bind_add_rms_norm, bind_attend, bind_rms_norm, bind_swiglu
from mini_lib.kernels.layer_cache import CACHE_BITS, LayerCache
from mini_lib.kernels.packed import (
    TORCH,
    bind_packed_linear,
    instruction_sets,
    packed_convolution,
    packed_integers,
    packed_linear,
)
from mini_lib.kernels.packed_matrix import PACKED_WIDTHS, PackedMatrix, most_columns, pack_matrix
from mini_lib.kernels.places import Places
from mini_lib.kernels.read import bind_read
from mini_lib.kernels.sparse import bind_bitmap, bind_blocks, bind_csr, bind_dense, bind_n_of_m
from mini_lib.kernels.warp import mirrored, warp_nearest
from mini_lib.kernels.xnor import pack_signs, xnor_product
