"""Where tensors lie: live ranges, and plans that let them share memory."""
