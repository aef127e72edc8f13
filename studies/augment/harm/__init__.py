"""When augmentation hurts: turned digits, narrow nets, operations that change what a picture is; and what a guard repairs.

A docstring alone: the modules are used one by one.
"""
