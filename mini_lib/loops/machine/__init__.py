"""What a machine can do: cycles of a nest, mapping onto block instructions, fetching ahead, energy."""
