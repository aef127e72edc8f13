"""Small networks with the shapes that make the removal of channels hard, for the tests of structured pruning."""

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class BasicBlock(nn.Module):
    """The residual block of ResNet-18: the sum ties its last convolution to the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv_bn(inputs, outputs, 3, stride), conv_bn(outputs, outputs)
        plain = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if plain else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x)))
        y += self.shortcut(x)
        return F.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 6)
        self.layers = nn.Sequential(BasicBlock(6, 6), BasicBlock(6, 10, 2), BasicBlock(10, 10))
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = F.adaptive_avg_pool2d(self.layers(x), 1)
        return self.fc(torch.flatten(x, 1))


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: widened, each channel by itself, narrowed without an activation, and added."""

    def __init__(self, inputs: int, outputs: int, stride: int, wider: int) -> None:
        super().__init__()
        hidden = inputs * wider
        self.body = nn.Sequential(
            conv_bn(inputs, hidden, 1),
            nn.ReLU6(),
            conv_bn(hidden, hidden, 3, stride, hidden),
            nn.ReLU6(),
            conv_bn(hidden, outputs, 1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(3, 4, 3, 2),
            nn.ReLU6(),
            InvertedResidual(4, 6, 1, 2),
            InvertedResidual(6, 6, 1, 3),
            conv_bn(6, 9, 1),
        )
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(9, 5))

    def forward(self, x):
        return self.head(self.features(x).mean([2, 3]))


class DenseNet(nn.Module):
    """Each layer reads all before it, side by side; batch norm comes first and meets channels of several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4 + 3 * i) for i in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(4 + 3 * i, 3, 3, padding=1, bias=False) for i in range(2)])
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs):
            x = torch.cat([x, conv(torch.relu(norm(x)))], dim=1)
        return self.fc(self.norms[2](x).relu().mean((2, 3)))


class Flat(nn.Module):
    """Flatten with 5 x 3 places behind it, sigmoid, which is not zero at zero, and batch norm after linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (4, 3))
        self.fc1, self.norm, self.slope, self.fc2 = (
            nn.Linear(4 * 15, 7),
            nn.BatchNorm1d(7),
            nn.PReLU(7),
            nn.Linear(7, 5),
        )

    def forward(self, x):
        x = torch.sigmoid(self.conv(x))
        x = F.max_pool2d(x, (1, 2))
        x = x.view(x.size(0), -1)
        return self.fc2(self.slope(self.norm(self.fc1(x))))


class SqueezeExcite(nn.Module):
    """A small net looks at all channels and says by how much each is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, x):
        x = F.hardswish(self.conv(x))
        x = x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(x).amax((2, 3))


class CatPlusConv(nn.Module):
    """Two layers side by side, added to a third: its first channels go with one, its last with the other."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.both = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 5, 1)
        self.fc = nn.Linear(5, 5)

    def forward(self, x):
        y = torch.cat((self.left(x), self.right(x)), 1).add(self.both(x))
        return self.fc(y.mean((-2, -1)))


class Twice(nn.Module):
    """One layer called twice: what it makes is also what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.loop, self.fc = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, x):
        x = torch.tanh(self.stem(x.mean((2, 3))))
        return self.fc(self.loop(self.loop(x).tanh()))


class Multiplier(nn.Module):
    """A depthwise convolution that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise, self.point = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        return self.point(self.depthwise(self.stem(x)).relu()).mean((2, 3))


ALL = (ResNet, MobileNetV2, DenseNet, Flat, SqueezeExcite, CatPlusConv, Twice, Multiplier)


def build(kind, seed: int = 0) -> nn.Module:
    """A network in evaluation mode whose every number is random, those of the batch norms too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return shake_(kind())


def shake_(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight), nn.init.normal_(module.bias), nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
        if isinstance(module, nn.PReLU):
            nn.init.normal_(module.weight)
    return model.eval()
