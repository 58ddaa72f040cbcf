"""Nearest samples, and those within a radius, among all pairs: exact, in single precision.

The squared distances D of all pairs are a product of two thin matrices, |x|² - 2 xy + |y|². That
of whole numbers is exact in double precision. Single precision takes half the time, and tells
nearly all: a sum of d + 2 products of numbers that were rounded, in whatever order, is off by at
most (d + 4) eps (|x|² + |y|²), and what is of second order (Higham, "Accuracy and stability of
numerical algorithms", 2002, section 3.1). With c = (d + 6) eps, and squares that are made c times
less, the product P is

    D - 2 c (|x|² + |y|²) < P <= D.

Of those farther than r, P is above r² - c (6 |x|² + 4 r²), for |y| <= |x| + sqrt(D). What lies
between that and r² is looked at in double precision, a block of columns at once.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

ROWS = 1024  # of a tile of distances
COLUMNS = {"cpu": 512, "cuda": 2**15}  # the CPU's cache holds a tile
WIDEST = 200  # columns of a side; of more, too many pairs lie between
WORTH = 1 / 32  # of the blocks; where more have such pairs, single precision saves nothing
FEW = 500  # samples a neighbour; of no more, double precision finds the nearest as fast
GATHERED = 2**20  # numbers at once


class _Blocks(NamedTuple):
    size: int
    apart: int  # columns of a block; a smallest number is found fastest where they are not adjacent


OF_NEAREST, OF_WITHIN = _Blocks(16, 32), _Blocks(128, 1)


class _Factors(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor
    c: float


class AllPairs:
    """All pairs of samples, which have one side or two; they are as far as they are on either.

    Parameters
    ----------
    sides : list of Tensor of shape (n, d)
        Whole numbers in double precision whose squared distances are exact in it.
    """

    def __init__(self, sides):
        self.device, widest = sides[0].device, max(side.shape[1] for side in sides)
        self.n_columns = COLUMNS[self.device.type]
        self.exact = [_factors(side, 0.0) for side in sides]
        self.quick = ([_in_single(side) for side in sides] if widest <= WIDEST and _is_single()
                      else self.exact)
        self.space = sides[0].new_empty((2, ROWS * self.n_columns))

    def rows(self, first, last):
        return torch.arange(first, last, device=self.device).split(ROWS)

    def nearest(self, rows, first, last, k):
        """Return the k smallest squared distances to samples in [first, last), in order."""
        if self.quick is self.exact or last - first <= FEW * k:
            return self._nearest_in_double(rows, first, last, k)
        found, sure = self._nearest_in_single(rows, first, last, k)
        if not sure.all():
            found[~sure] = self._nearest_in_double(rows[~sure], first, last, k)
            if 2 * sure.sum() < len(rows):
                self.quick = self.exact
        return found

    def _nearest_in_double(self, rows, first, last, k):
        nearest = [_smallest(tile, k) for tile in self._farther(self.exact, rows, first, last)]
        return _smallest(torch.hstack(nearest), k)

    def _nearest_in_single(self, rows, first, last, k):
        """Look into the k blocks of the least products; all others' are as much as the next."""
        least = torch.hstack([_by_blocks(torch.amin, tile, OF_NEAREST, torch.inf)
                              for tile in self._farther(self.quick, rows, first, last)])
        least, blocks = least.topk(k + 1, largest=False)
        of_blocks = rows.repeat_interleave(k), blocks[:, :k].flatten(), OF_NEAREST, first, last
        squared = torch.stack([self._exactly(side, *of_blocks)
                               for side in range(len(self.exact))]).amax(0)
        found = squared.view(len(rows), -1).topk(k, largest=False).values
        return found, found[:, -1] <= least[:, k]

    def _farther(self, factors, rows, first, last):
        """Yield tiles of products, of two sides the larger; each in the place of the one before."""
        left = [a[rows] for a, _, _ in factors]
        for tile in self._tiles(first, last):
            space = self._space(left[0], tile)
            joint, *other = [torch.mm(a, b[tile].T, out=part)
                             for a, (_, b, _), part in zip(left, factors, space, strict=False)]
            yield torch.maximum(joint, *other, out=joint) if other else joint

    def within(self, rows, radius):
        """Count the samples within squared radii, (n, 1), on each side."""
        return torch.stack([self._within(side, rows, radius) for side in range(len(self.exact))])

    def _within(self, side, rows, radius):
        a, b, c = self.quick[side]
        left, counts = a[rows], []
        bounds = [radius, radius - c * (6 * left[:, -1:] + 4 * radius)] if c else [radius]
        bounds = [bound.to(a.dtype) for bound in bounds]
        for tile in self._tiles(0, len(b)):
            products, marks = self._space(left, tile)
            torch.mm(left, b[tile].T, out=products)
            counts.append(torch.stack([
                _by_blocks(torch.sum, torch.le(products, bound, out=marks), OF_WITHIN, 0)
                for bound in bounds]))
        near = torch.cat(counts, 2)
        between = near[0] != near[-1]
        row, block = between.nonzero(as_tuple=True)
        if len(row) > WORTH * between.numel():
            self.quick = self.exact
            return self._within(side, rows, radius)
        squared = self._exactly(side, rows[row], block, OF_WITHIN, 0, len(b))
        near[0, row, block] = (squared <= radius[row]).sum(1).to(near.dtype)
        return near[0].sum(1)

    def _exactly(self, side, rows, blocks, kind, first, last):
        """Return squared distances to the samples of blocks, infinite where a block has fewer."""
        (a, b, _), (size, apart) = self.exact[side], kind
        columns = (first + blocks // apart * apart * size + blocks % apart)[:, None] + torch.arange(
            0, size * apart, apart, device=self.device)
        pieces = max(1, GATHERED // (size * a.shape[1]))
        squared = [(F.embedding(some, b) @ a[of, :, None])[..., 0] for of, some in zip(
            rows.split(pieces), columns.clamp(max=last - 1).split(pieces), strict=True)]
        return torch.cat(squared).masked_fill(columns >= last, torch.inf)

    def _tiles(self, first, last):
        return [slice(start, min(start + self.n_columns, last))
                for start in range(first, last, self.n_columns)]

    def _space(self, left, tile):
        """Return two matrices for a tile, in memory that is taken once."""
        shape = len(left), tile.stop - tile.start
        return [part.view(left.dtype)[:math.prod(shape)].view(shape) for part in self.space]


def squared_distances(x, y):
    """Return those of (n, d) and (m, d), whole numbers in double precision."""
    return _factors(x, 0.0).left @ _factors(y, 0.0).right.T


def _factors(side, c):
    """Return two matrices whose product is all squared distances, but for a share of c."""
    length, one = (1 - c) * side.square().sum(1, keepdim=True), torch.ones_like(side[:, :1])
    return _Factors(torch.hstack([-2 * side, one, length]), torch.hstack([side, length, one]), c)


def _in_single(side):
    a, b, c = _factors(side - side.mean(0).round(),
                       (side.shape[1] + 6) * torch.finfo(torch.float32).eps)
    return _Factors(a.float(), b.float(), c)


def _is_single():
    """Tell whether products in single precision are that, and not in TF32 or bfloat16."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by torch's newer options
        return False


def _by_blocks(reduce, tile, kind, beyond):
    """Reduce each block of columns to one."""
    missing = -tile.shape[1] % math.prod(kind)
    if missing:
        tile = F.pad(tile, (0, missing), value=beyond)
    return reduce(tile.unflatten(1, (-1, *kind)), 2).flatten(1)


def _smallest(rows, k):
    """Return the k smallest of each row, in order: they are in the k blocks of the least minima."""
    size = math.isqrt(rows.shape[1])
    n_blocks = rows.shape[1] // size
    if n_blocks > 2 * k:
        blocks = rows[:, :n_blocks * size].unflatten(1, (n_blocks, size))
        least = blocks.amin(2).topk(k, largest=False).indices[:, :, None].expand(-1, -1, size)
        rows = torch.hstack([blocks.gather(1, least).flatten(1), rows[:, n_blocks * size:]])
    return rows.topk(min(k, rows.shape[1]), largest=False).values
