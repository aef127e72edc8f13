"""Import torchvision where it can be imported: itself, or for what imports it (transformers, and by it quanto)."""

import torch


def import_torchvision():
    """Return torchvision. Its wheel may be built for CUDA, and then wants two operators that a CPU torch lacks."""
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision.declared_operators = operators  # they live as long as this object does
    return torchvision
