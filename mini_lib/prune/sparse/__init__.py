"""Sparse storage and sparse kernels: the bytes that zeros save, and the density below which they save time."""

from mini_lib.prune.sparse.bitmap import Bitmap, to_bitmap
from mini_lib.prune.sparse.block_csr import BlockCSR, to_blocks
from mini_lib.prune.sparse.compare import KERNELS, Comparison, KernelTime, compare_kernels
from mini_lib.prune.sparse.crossover import Crossover, KernelSweep, crossover, sweep_kernels
from mini_lib.prune.sparse.csr import CSR, to_csr
from mini_lib.prune.sparse.matrix import DoesNotFit, SparseMatrix, as_matrix
from mini_lib.prune.sparse.matvec import bind, matvec
from mini_lib.prune.sparse.n_of_m import NofM, to_n_of_m
from mini_lib.prune.sparse.sizes import (
    FORMATS,
    LayerBytes,
    StorageTable,
    break_even_densities,
    model_bytes,
    smallest_formats,
    stored_formats,
)
