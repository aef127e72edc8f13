"""What decomposition costs and gives on trained models, side by side: accuracy, bytes, MACs, milliseconds."""
