"""A small language model that really runs, on torch: SmolLM2-135M-Instruct, from its file to text."""
