"""What compression costs a language model: weights of few bits, activations of few bits, and pruned weights.

A docstring alone: the modules are used one by one.
"""
