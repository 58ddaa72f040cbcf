"""Augmentation against torchvision, one image at a time, and against what must not change."""

import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cmkdlearn.nn import augment
from cmkdlearn.nn.augment import (
    CIFAR10_POLICY,
    OPERATIONS,
    PHOTOMETRIC,
    SpecAugment,
    StrongAugmentation,
    WeakAugmentation,
    apply_operations,
    augmentation,
    crop_and_flip,
    draw_windows,
    resized_crop_and_flip,
)


@pytest.fixture
def images():
    """Smooth colours with noise, not filling the range: every operation changes them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 32
    phase = rng.uniform(0, 6, size=(6, 3, 1, 1))
    smooth = 110 + 60 * np.sin(5 * x + phase) * np.cos(4 * y + phase)
    noisy = smooth + rng.normal(scale=10, size=(6, 3, 32, 32))
    return torch.from_numpy(noisy.clip(10, 240).astype(np.uint8))


def seeded(seed, change, *args):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return change(*args)


def apply_one(images, name, levels):
    """Apply one operation to uint8 images, each at its own level."""
    operations = torch.full((len(images),), OPERATIONS.index(name))
    changed = apply_operations(images / 255, operations, torch.as_tensor(levels).float())
    return (changed * 255).round().to(torch.uint8)


LEVELS = [-1.0, -0.5, 0.0, 0.3, 0.6, 1.0]


# --- the operations, against torchvision ---------------------------------------------------

def torchvision_reference(name, image, level):
    F = pytest.importorskip("torchvision.transforms.v2.functional")
    height, width = image.shape[-2:]
    affine = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    slope = math.degrees(math.atan(0.3 * level))
    return {
        "shear_x": lambda: F.affine(image, **affine | {"shear": [slope, 0.0]}, center=[0, 0]),
        "shear_y": lambda: F.affine(image, **affine | {"shear": [0.0, slope]}, center=[0, 0]),
        "translate_x": lambda: F.affine(
            image, **affine | {"translate": [int(150 / 331 * width * level), 0]}),
        "translate_y": lambda: F.affine(
            image, **affine | {"translate": [0, int(150 / 331 * height * level)]}),
        "rotate": lambda: F.rotate(image, angle=30 * level),
        "brightness": lambda: F.adjust_brightness(image, 1 + 0.9 * level),
        "color": lambda: F.adjust_saturation(image, 1 + 0.9 * level),
        "contrast": lambda: F.adjust_contrast(image, 1 + 0.9 * level),
        "sharpness": lambda: F.adjust_sharpness(image, 1 + 0.9 * level),
        "posterize": lambda: F.posterize(image, 8 - round(4 * abs(level))),
        "solarize": lambda: F.solarize(image, min(256 * (1 - abs(level)), 255)),
        "autocontrast": lambda: F.autocontrast(image),
        "equalize": lambda: F.equalize(image),
        "invert": lambda: F.invert(image),
    }[name]()


@pytest.mark.parametrize("shape", [(32, 32), (20, 32)], ids=str)
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_geometric_operations_are_torchvisions(images, name, shape):
    images = images[:, :, :shape[0], :shape[1]]
    ours = apply_one(images, name, LEVELS)
    theirs = torch.stack([torchvision_reference(name, image, level)
                          for image, level in zip(images, LEVELS, strict=True)])
    same = (ours == theirs).all(1).float().mean((1, 2))
    # Nearest neighbours: a source between two pixels may go either way (half a level of a
    # shear puts whole rows there), so one pixel in a hundred may differ.
    tolerance = 0.0 if name.startswith("translate") else 0.01
    assert (same >= 1 - tolerance).all(), same


SMOOTH = ("brightness", "color", "contrast", "sharpness", "autocontrast")


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_operations_are_torchvisions_on_floats(images, name, channels):
    images = images[:, :channels] / 255
    operations = torch.full((len(images),), OPERATIONS.index(name))
    theirs = torch.stack([torchvision_reference(name, image, level)
                          for image, level in zip(images, LEVELS, strict=True)])
    ours = apply_operations(images, operations, torch.tensor(LEVELS))
    # the weight of red is 0.299 here and 0.2989 there
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", [name for name in PHOTOMETRIC if name != "color"])
def test_photometric_operations_are_torchvisions_on_bytes(images, name, channels):
    images = images[:, :channels]
    ours = apply_one(images, name, LEVELS).int()
    theirs = torch.stack([torchvision_reference(name, image, level)
                          for image, level in zip(images, LEVELS, strict=True)]).int()
    # torchvision cuts the fraction off where we round (for colour twice: grey, then the blend)
    assert (ours - theirs).abs().max() <= (1 if name in SMOOTH else 0)


@pytest.mark.parametrize("name", [name for name in OPERATIONS
                                  if name not in ("autocontrast", "equalize", "invert")])
def test_level_zero_changes_nothing(images, name):
    assert torch.equal(apply_one(images, name, [0.0] * 6), images)


@pytest.mark.parametrize("name", OPERATIONS[1:])
def test_full_level_changes_each_image(images, name):
    changed = apply_one(images, name, [1.0] * 6) != images
    assert changed.flatten(1).any(1).all()


def test_flat_images_survive_every_operation():
    flat = torch.full((len(OPERATIONS), 3, 8, 8), 0.5)
    changed = apply_operations(flat, torch.arange(len(OPERATIONS)), torch.ones(len(OPERATIONS)))
    assert torch.isfinite(changed).all()
    for name in ("autocontrast", "equalize", "color", "sharpness", "contrast"):
        torch.testing.assert_close(changed[OPERATIONS.index(name)], flat[0])


def test_each_image_gets_its_own_operation(images):
    operations = torch.tensor([OPERATIONS.index(name) for name in (
        "identity", "invert", "rotate", "posterize", "translate_x", "equalize")])
    levels = torch.tensor([1.0, 1.0, 0.5, 1.0, -0.5, 1.0])
    together = apply_operations(images / 255, operations, levels)
    for i in range(6):
        alone = apply_operations(images[i:i + 1] / 255, operations[i:i + 1], levels[i:i + 1])
        torch.testing.assert_close(together[i], alone[0])


# --- crop and flip -------------------------------------------------------------------------

def test_flips_permute_the_pixels_exactly():
    images = torch.rand(64, 3, 9, 12)
    before = images.clone()
    flipped = seeded(0, crop_and_flip, images, 0, 0.5)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 16 < mirrored.sum() < 48
    assert torch.equal(images, before)
    assert torch.equal(crop_and_flip(images, 0, 1), images.flip(3))


def test_crops_are_windows_of_the_padded_image_and_all_occur():
    image = torch.arange(1, 65).reshape(1, 1, 8, 8) / 64
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    windows = {tuple(padded[0, 0, i:i + 8, j:j + 8].flatten().tolist()): (i, j)
               for i in range(3) for j in range(3)}
    crops = seeded(0, crop_and_flip, image.expand(200, 1, 8, 8), 1 / 8, 0)
    assert len({windows[tuple(crop.flatten().tolist())] for crop in crops}) == 9


@pytest.mark.parametrize("flip", [0, 1])
def test_a_resized_crop_is_a_window_stretched_to_the_size_of_the_image(flip, monkeypatch):
    image = torch.rand(1, 3, 8, 6)
    monkeypatch.setattr(augment, "draw_windows", lambda n, *rest: (torch.full((n,), 5.0), torch.full((n,), 4.0)))
    windows = torch.cat([F.interpolate(image[..., i:i + 5, j:j + 4], (8, 6), mode="bilinear")
                         for i in range(4) for j in range(3)])
    crops = seeded(0, resized_crop_and_flip, image.expand(200, 3, 8, 6), 0.2, flip)
    distance = (crops[:, None] - windows.flip(3) if flip else crops[:, None] - windows).abs().amax((2, 3, 4))
    assert distance.amin(1).max() < 1e-5
    assert len(distance.argmin(1).unique()) == 12  # all of them occur


def test_the_window_of_all_the_area_is_the_image():
    images = torch.rand(40, 3, 9, 9)
    torch.testing.assert_close(resized_crop_and_flip(images, 1, 0), images)
    torch.testing.assert_close(resized_crop_and_flip(images, 1, 1), images.flip(3))


def test_windows_are_drawn_as_torchvision_draws_them():
    transforms = pytest.importorskip("torchvision.transforms")
    ours = torch.stack(list(seeded(0, draw_windows, 4000, 60, 100, 0.08)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = torch.tensor([transforms.RandomResizedCrop.get_params(
            torch.zeros(1, 60, 100), (0.08, 1.0), augment.RATIOS)[2:] for _ in range(4000)]).T.float()
    spread = theirs.std(1) * (2 / 4000) ** 0.5
    assert ((ours.mean(1) - theirs.mean(1)).abs() < 5 * spread).all()
    area, ratio = ours[0] * ours[1], ours[1] / ours[0]
    assert 0.07 < area.min() / 6000 < 0.1 and area.max() <= 6000
    assert 0.7 < ratio.min() < 0.8 and 1.28 < ratio.max() < 1.4


def test_where_no_window_fits_it_is_as_much_as_the_ratios_allow():
    assert [side.tolist() for side in draw_windows(2, 10, 100, 1)] == [[10, 10], [13, 13]]
    assert [side.tolist() for side in draw_windows(1, 100, 10, 1)] == [[13], [10]]


def test_weak_without_anything_is_the_identity(images):
    assert torch.equal(WeakAugmentation(padding=0, flip=0, jitter=0)(images), images)


def test_weak_jitters_within_its_range():
    grey = torch.full((200, 1, 4, 4), 0.5)
    values = seeded(0, WeakAugmentation(padding=0, flip=0, jitter=0.2), grey)[:, 0, 0, 0]
    assert 0.4 <= values.min() < 0.43
    assert 0.57 < values.max() <= 0.6


# --- the policies --------------------------------------------------------------------------

def test_the_cifar10_policy_is_the_published_one():
    transforms = pytest.importorskip("torchvision.transforms.v2")
    theirs = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)._policies
    ours = [tuple((name.replace("_", ""), *rest) for name, *rest in pair)
            for pair in CIFAR10_POLICY]
    assert ours == [tuple((name.lower(), *rest) for name, *rest in pair) for pair in theirs]


def test_rand_augment_draws_each_of_its_14_operations_evenly():
    operations, levels = seeded(0, augment._rand_augment, 7000, 2, 9)
    counts = torch.bincount(operations.flatten(), minlength=len(OPERATIONS))
    assert len(OPERATIONS) == 15
    assert counts[OPERATIONS.index("invert")] == 0
    # 1,000 expected, binomial sd 30.5
    assert (counts[:-1] - 1000).abs().max() < 5 * 30.5
    assert (levels == 0.3).all()


def test_auto_augment_draws_operations_at_the_published_rates():
    n = 20_000
    operations, levels = seeded(0, augment._auto_augment, n)
    expected = torch.zeros(len(OPERATIONS))
    for pair in CIFAR10_POLICY:
        for name, probability, _ in pair:
            expected[OPERATIONS.index(name)] += n / 25 * probability
    counts = torch.bincount(operations.flatten(), minlength=len(OPERATIONS))
    assert (counts - expected)[1:].abs().max() < 5 * math.sqrt(expected[1:].max())
    shear = (operations == OPERATIONS.index("shear_y"))
    torch.testing.assert_close(levels[shear].unique(), torch.tensor([7 / 9, 8 / 9]))


def test_strong_at_magnitude_zero_only_equalises(images):
    """RandAugment at M = 0: 12 of 14 operations are the identity."""
    augment = StrongAugmentation(padding=0, flip=0, n_ops=1, magnitude=0, autoaugment=0)
    many = images.repeat(200, 1, 1, 1)
    changed = seeded(0, augment, many)
    kept = (changed == many).flatten(1).all(1)
    assert abs(kept.float().mean() - 12 / 14) < 0.05
    contrasted = apply_one(many, "autocontrast", [0.0] * len(many))
    equalised = apply_one(many, "equalize", [0.0] * len(many))
    allowed = kept | (changed == contrasted).flatten(1).all(1) | (
        changed == equalised).flatten(1).all(1)
    assert allowed.all()


def test_strong_goes_both_ways():
    augment = StrongAugmentation(padding=0, flip=0, n_ops=1, magnitude=30, autoaugment=0)
    changed = seeded(0, augment, torch.ones(1000, 1, 32, 32))[:, 0]
    empty = {"left": changed[:, :, :14], "right": changed[:, :, -14:],
             "top": changed[:, :14], "bottom": changed[:, -14:]}
    # 150 / 331 of 32 pixels are 14; one operation in 14 shifts along either axis
    shifts = {side: (part == 0).flatten(1).all(1).sum().item() for side, part in empty.items()}
    solarized = (changed == 0).flatten(1).all(1).sum().item()
    assert all(15 < n - solarized < 60 for n in shifts.values()), shifts


def test_strong_without_operations_is_the_identity(images):
    augment = StrongAugmentation(padding=0, flip=0, n_ops=0, autoaugment=0)
    assert torch.equal(augment(images), images)


@pytest.mark.parametrize("n_ops", [1, 3])
def test_strong_takes_other_numbers_of_operations(images, n_ops):
    assert StrongAugmentation(n_ops=n_ops)(images).shape == images.shape


# --- both ----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["strong", "weak"])
class TestBoth:
    def test_samples_draw_their_own(self, name, images):
        same = images[:1].expand(16, -1, -1, -1)
        changed = seeded(0, augmentation(name), same)
        assert len({image.numpy().tobytes() for image in changed}) >= 14

    def test_one_seed_one_result(self, name, images):
        augment = augmentation(name)
        assert torch.equal(seeded(3, augment, images), seeded(3, augment, images))
        assert not torch.equal(seeded(3, augment, images), seeded(4, augment, images))

    def test_input_is_left_alone(self, name, images):
        before = images.clone()
        augmentation(name)(images)
        assert torch.equal(images, before)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    def test_floating_images_become_what_uint8_ones_do(self, name, images, dtype):
        as_bytes = seeded(5, augmentation(name), images)
        as_floats = seeded(5, augmentation(name), (images / 255).to(dtype))
        assert as_floats.dtype == dtype
        assert 0 <= as_floats.min() <= as_floats.max() <= 1
        assert (as_floats * 255 - as_bytes).abs().max() < 1

    @settings(deadline=None, max_examples=40)
    @given(n=st.integers(0, 5), channels=st.integers(1, 4), height=st.integers(1, 40),
           width=st.integers(1, 40), floating=st.booleans(), seed=st.integers(0, 2**16))
    def test_shape_and_dtype_stay(self, name, n, channels, height, width, floating, seed):
        images = torch.randint(256, (n, channels, height, width), dtype=torch.uint8)
        images = images / 255 if floating else images
        changed = seeded(seed, augmentation(name), images)
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert changed.isfinite().all()

    def test_pickles(self, name, images):
        augment = augmentation(name)
        assert pickle.loads(pickle.dumps(augment)) == augment

    @pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, float("nan")])
    def test_floating_images_beyond_the_unit_range_are_refused(self, name, value):
        images = torch.full((2, 1, 8, 8), value)
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            augmentation(name)(images)

    def test_other_dtypes_and_shapes_are_refused(self, name):
        with pytest.raises(TypeError, match="torch.int64"):
            augmentation(name)(torch.zeros(2, 1, 8, 8, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"\(2, 8, 8\)"):
            augmentation(name)(torch.zeros(2, 8, 8))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_gpu_draws_and_gives_what_the_cpu_does(self, name, images):
        on_cpu = seeded(6, augmentation(name), images)
        on_gpu = seeded(6, augmentation(name), images.cuda())
        assert on_gpu.device.type == "cuda"
        # nearest neighbours may go the other way where a source lies between two pixels
        assert ((on_gpu.cpu().int() - on_cpu.int()).abs() <= 1).float().mean() > 0.99


@pytest.mark.parametrize("cls", [WeakAugmentation, StrongAugmentation])
def test_a_resized_crop_keeps_bytes_and_their_range(cls):
    images = torch.full((16, 3, 8, 12), 200, dtype=torch.uint8)
    changed = seeded(0, cls(min_area=0.2, **({"jitter": 0} if cls is WeakAugmentation else {"n_ops": 0, "autoaugment": 0})), images)
    assert torch.equal(changed, images)  # a window of one colour has it, too


def test_augmentation_reads_its_spec():
    assert augmentation(None) is None
    assert augmentation(torch.abs) is torch.abs
    assert augmentation("weak") == WeakAugmentation()
    with pytest.raises(ValueError, match="augmentation='storng' is unknown. Did you mean 'strong'"):
        augmentation("storng")
    with pytest.raises(ValueError, match="augmentation=3"):
        augmentation(3)


@pytest.mark.parametrize("parameters, wrong", [
    ({"padding": -1}, "padding=-1"), ({"flip": 2}, "flip=2"), ({"magnitude": 31}, "magnitude=31"),
    ({"min_area": 0}, "min_area=0"), ({"min_area": 1.1}, "min_area=1.1"), ({"n_ops": -1}, "n_ops=-1"), ({"autoaugment": 1.5}, "autoaugment=1.5")])
def test_bad_parameters_are_named(parameters, wrong):
    with pytest.raises(ValueError, match=wrong):
        StrongAugmentation(**parameters)


# --- spectrograms --------------------------------------------------------------------------

SPECTRA = torch.from_numpy(np.random.default_rng(0).normal(-8, 3, size=(200, 1, 20, 30))).float()


def runs(hidden):
    """Lengths of the runs of True in each row."""
    edges = np.diff(np.pad(hidden.numpy().astype(int), ((0, 0), (1, 1))), axis=1)
    starts, ends = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return starts[0], ends[1] - starts[1]


@pytest.mark.parametrize("axis, share", [("bands", 0.15), ("frames", 0.2), ("frames", 1.0)])
def test_one_mask_is_one_run_of_any_width_up_to_the_limit(axis, share):
    """What is hidden is the sample's mean, over the whole other axis; all else is untouched."""
    masked = seeded(0, SpecAugment(**{"n_masks": 1, "bands": 0, "frames": 0, axis: share}), SPECTRA)
    mean = SPECTRA.mean((1, 2, 3), keepdim=True)
    hidden = masked != SPECTRA
    torch.testing.assert_close(masked[hidden], mean.expand_as(masked)[hidden])
    across = 3 if axis == "bands" else 2
    hidden = hidden[:, 0]
    assert (hidden.all(across - 1) == hidden.any(across - 1)).all()
    sample, width = runs(hidden.any(across - 1))
    assert len(np.unique(sample)) == len(sample)  # no second run
    limit = round(share * SPECTRA.shape[2 if axis == "bands" else 3])
    assert set(width) == set(range(1, limit + 1)) or limit == 30 and width.max() > 25
    share_without = 1 - len(sample) / len(SPECTRA)
    assert abs(share_without - 1 / (limit + 1)) < 0.1  # a width of 0 is as likely as any


def test_masks_reach_both_ends():
    masked = seeded(0, SpecAugment(n_masks=1), SPECTRA) != SPECTRA
    assert masked[:, 0, :, 0].any() and masked[:, 0, :, -1].any()
    assert masked[:, 0, 0].any() and masked[:, 0, -1].any()


@pytest.mark.parametrize("n_masks", [0, 1, 2, 5])
def test_so_many_masks_hide_no_more_than_so_much(n_masks):
    hidden = (seeded(0, SpecAugment(n_masks=n_masks), SPECTRA) != SPECTRA)[:, 0]
    bands, frames = hidden.all(2).sum(1), hidden.all(1).sum(1)
    assert bands.max() <= 3 * n_masks and frames.max() <= 6 * n_masks
    assert bands.max() > 3 * (n_masks - 1) if n_masks < 5 else bands.max() > 6
    if n_masks == 2:
        assert np.bincount(runs(hidden.all(1))[0]).max() == 2


def test_each_spectrogram_has_masks_of_its_own_and_a_seed_gives_them_again():
    alike = SPECTRA[:1].repeat(50, 3, 1, 1)
    masked = seeded(3, SpecAugment(), alike)
    assert len(masked.unique(dim=0)) > 40
    assert (masked[:, 0] == masked[:, 2]).all()  # channels are of one spectrogram
    assert (masked == seeded(3, SpecAugment(), alike)).all()
    assert (masked != seeded(4, SpecAugment(), alike)).any()
    assert pickle.loads(pickle.dumps(SpecAugment(n_masks=3))) == SpecAugment(n_masks=3)


def test_spectrograms_keep_their_dtype():
    as_bytes = (SPECTRA - SPECTRA.min()).clamp(0, 255).to(torch.uint8)
    masked = seeded(0, SpecAugment(), as_bytes)
    assert masked.dtype == torch.uint8
    where = masked != as_bytes
    mean = as_bytes.float().mean((1, 2, 3), keepdim=True).round().to(torch.uint8)
    assert (masked[where] == mean.expand_as(masked)[where]).all()
    assert SpecAugment()(SPECTRA.double()).dtype == torch.float64


@pytest.mark.parametrize("parameters, wrong", [
    ({"n_masks": -1}, "n_masks=-1"), ({"bands": 1.5}, "bands=1.5"), ({"frames": -0.1}, "frames=-0.1")])
def test_bad_masks_are_named(parameters, wrong):
    with pytest.raises(ValueError, match=wrong):
        SpecAugment(**parameters)


def test_sequences_have_no_bands():
    with pytest.raises(ValueError, match=r"spectrograms \(n, C, bands, frames\); this one has shape \(2, 8, 8\)"):
        SpecAugment()(torch.zeros(2, 8, 8))
