"""The machine: cycles of a nest, mapping onto block instructions, fetching ahead, energy."""
