"""The memory of tensors: live ranges, and plans that let tensors share memory."""
