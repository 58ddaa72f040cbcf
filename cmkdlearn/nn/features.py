"""Feature maps of a network, be it convolutional or a transformer."""

import copy

import torch

from cmkdlearn.losses import Output
from cmkdlearn.nn.modules import Classifier

__all__ = ["with_feature_maps"]

DEPTHS = 4  # of a network whose maps are all of one size


def with_feature_maps(classifier, X):
    """Return a network of the same layers whose Output holds its feature maps too.

    The last map of each size, from the finest to the coarsest; of a network that keeps one size
    throughout, such as a vision transformer, those at a quarter, half, three quarters and the end
    of its depth. A transformer's patches are laid out as the map that they are.

    Parameters
    ----------
    classifier : Classifier
        Its layers are shared, not copied.
    X : Tensor
        A few samples, to find out what maps there are.

    Returns
    -------
    Classifier

    Raises
    ------
    ValueError
        If the network has no feature maps.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.features import with_feature_maps
    >>> from cmkdlearn.nn.modules import build_classifier
    >>> X = torch.randn(4, 3, 32, 32)
    >>> network = with_feature_maps(build_classifier("resnet18", X, "image", 10), X)
    >>> [tuple(map.shape[1:]) for map in network(X).feature_maps]
    [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    """
    encoder = getattr(classifier, "encoder", None)
    if encoder is None:
        raise ValueError("A network that does not end in a linear layer has no feature maps here.")
    mapper = _Intermediates if hasattr(encoder, "forward_intermediates") else _Hooked
    with torch.inference_mode():  # eval mode of a copy: batch statistics untouched
        probe = copy.deepcopy(classifier).eval().cpu()
        maps = mapper.all_maps(probe.encoder, probe.preprocess(X[:2].clone().cpu()))
    chosen = _stages([tuple(map.shape[2:]) for map in maps.values()])
    if not chosen:
        raise ValueError("The network has no feature maps: no layer of it returns (n, c, h, w) "
                         "with more than one pixel.")
    return mapper([list(maps)[i] for i in chosen], classifier)


def _stages(sizes):
    last = {size: i for i, size in enumerate(sizes) if size != (1, 1)}
    if len(last) != 1:
        return sorted(last.values())
    (deepest,) = last.values()
    return sorted({round((deepest + 1) * k / DEPTHS) - 1 for k in range(1, DEPTHS + 1)} - {-1})


class _Mapped(Classifier):
    """A classifier that puts maps into its Output."""

    def __init__(self, wanted, classifier):
        super().__init__(classifier.encoder, classifier.head, classifier.preprocess)
        self.wanted = wanted


class _Intermediates(_Mapped):
    """By timm's ``forward_intermediates``."""

    @staticmethod
    def all_maps(encoder, x):
        return dict(enumerate(encoder.forward_intermediates(
            x, output_fmt="NCHW", intermediates_only=True)))

    def forward(self, x):
        final, maps = self.encoder.forward_intermediates(
            self.preprocess(x), indices=self.wanted, output_fmt="NCHW")
        features = self.encoder.forward_head(final)
        return Output(self.head(features), features, tuple(maps))


class _Hooked(_Mapped):
    """By forward hooks, for any other network."""

    @staticmethod
    def all_maps(encoder, x):
        maps: dict[str, torch.Tensor] = {}
        hooks = []
        for name, layer in encoder.named_modules():
            hooks.append(layer.register_forward_hook(_keep(maps, name)))
        try:
            encoder(x)
        finally:
            for hook in hooks:
                hook.remove()
        return maps

    def forward(self, x):
        maps: dict[str, torch.Tensor] = {}
        layers = dict(self.encoder.named_modules())
        hooks = [layers[name].register_forward_hook(_keep(maps, name)) for name in self.wanted]
        try:
            features = self.encoder(self.preprocess(x))
        finally:
            for hook in hooks:
                hook.remove()
        return Output(self.head(features), features, tuple(maps[name] for name in self.wanted))


def _keep(maps, name):
    def keep(layer, args, output):
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            maps.pop(name, None)
            maps[name] = output  # in the order of the calls
    return keep
