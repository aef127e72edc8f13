"""A small language model that runs: built from the `Architecture` that the calculator counts, with a KV cache."""
