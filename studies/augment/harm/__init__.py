"""When augmentation hurts: turned digits, narrow nets, operations that change a label; and what a guard repairs.

A docstring alone: the modules are used one by one.
"""
