"""What decomposition costs and gives on trained models, measured: accuracy, bytes, MACs and milliseconds side by side."""
