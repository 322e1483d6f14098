"""Residual networks: the reference model, and ResNet-50's kind with the names that published weights have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch normalization and a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H/stride, W/stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        output: Tensor = self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))
        return output


class SmallResNet(nn.Module):
    """A stem, a stage per entry of ``widths``, global pooling, a linear head.

    Each stage but the first halves the resolution; ``blocks`` holds their numbers of residual blocks.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        widths: Sequence[int] = (32, 64, 128),
        blocks: Sequence[int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(channels, width, stride))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map images [N, in_channels, H, W] to logits [N, num_classes]."""
        features = self.pool(self.blocks(self.stem(image))).flatten(1)
        logits: Tensor = self.head(features)
        return logits


class Bottleneck(nn.Module):
    """A 1×1, a 3×3 and a 1×1 convolution with batch normalization, and a shortcut; the stride is the 3×3's.

    He et al. 2016, arXiv:1512.03385, with the stride where torchvision has it.
    """

    expansion = 4
    """Output channels for each of the inner ones."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, 4 width, H/stride, W/stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        output: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return output


class BottleneckResNet(nn.Module):
    """A stem that quarters the resolution, four stages of bottlenecks, global pooling, a linear head.

    The defaults are ResNet-50 (torchvision's ``resnet50``, whose weights fit).
    """

    def __init__(
        self, channels: int = 3, num_classes: int = 1000, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        last = width
        for stage, depth in enumerate(blocks):
            inner = width * 2**stage
            layers = []
            for block in range(depth):
                layers.append(Bottleneck(last, inner, 2 if stage > 0 and block == 0 else 1))
                last = Bottleneck.expansion * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.stages = len(blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map images [N, channels, H, W] to logits [N, num_classes]."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for stage in range(self.stages):
            features = self.get_submodule(f"layer{stage + 1}")(features)
        logits: Tensor = self.fc(self.avgpool(features).flatten(1))
        return logits
