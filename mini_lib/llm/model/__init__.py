"""A small language model that runs: built from the `Architecture` that the calculator counts, with a KV cache."""

from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.generate import GREEDY, generate, stream
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.layerwise import change_layers, in_blocks
from mini_lib.llm.model.load import load_language_model
from mini_lib.llm.model.perplexity import Perplexity, perplexity
from mini_lib.llm.model.prose import calibration_text, evaluation_text
from mini_lib.llm.model.rescale import scale_salient_lm, smooth_lm
from mini_lib.llm.model.sampling import Sampling
from mini_lib.llm.model.source import ModelMissing, find_model_file
from mini_lib.llm.model.speculative import Speculated, drafted_by, first_layers, generate_speculatively, look_up
from mini_lib.llm.model.stand_in import stand_in
from mini_lib.llm.model.tokenizer import Tokenizer
from mini_lib.llm.model.transformer import LanguageModel
