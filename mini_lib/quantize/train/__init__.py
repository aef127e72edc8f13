"""Training at few bits: rounding with a gradient, learned steps, and the path from a checkpoint to packed storage."""

from mini_lib.quantize.train.batch_norm import freeze_batch_norm, reestimate_batch_norm
from mini_lib.quantize.train.export import export
from mini_lib.quantize.train.layers import FakeQuantConv2d, FakeQuantLayer, FakeQuantLinear
from mini_lib.quantize.train.lsq import lsq, lsq_gradient_scale, lsq_range
from mini_lib.quantize.train.pact import PACT
from mini_lib.quantize.train.prepare import prepare
from mini_lib.quantize.train.ste import fake_quantize_ste, round_ste, sign_ste, straight_through
