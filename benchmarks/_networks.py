"""Networks that several benchmarks train, and how students were taught before 0.1."""

from torch import nn

HINTON = {"lambda_kd": 1.0, "temperature": 4.0}  # what the evidence was measured with


class SmallConvNet(nn.Module):
    """Three strided convolutions and a linear head: about 24,000 parameters at width 16."""

    def __init__(self, n_classes=10, channels=1, width=16):
        super().__init__()
        layers = []
        for n_in, n_out in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False),
                       nn.BatchNorm2d(n_out), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(n_out, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class DigitNet(nn.Module):
    """Two convolutions with pooling and a layer of 64 features that keeps where things are."""

    def __init__(self, n_classes=10, width=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width),
            nn.ReLU(), nn.AdaptiveMaxPool2d(7), nn.Flatten(),
            nn.Linear(2 * width * 49, 64), nn.ReLU())
        self.head = nn.Linear(64, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class UnitNet(nn.Module):
    """A table, standardised batch by batch, through layers of 128 and 64: the features."""

    def __init__(self, n_features, n_classes=10):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(n_features), nn.Linear(n_features, 128), nn.BatchNorm1d(128), nn.ReLU(),
            nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU())
        self.head = nn.Linear(64, n_classes)

    def forward(self, x):
        return self.head(self.body(x))
