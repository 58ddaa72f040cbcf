"""Loaders on miniatures in the distributed layout, and imbalance by hand."""

import gzip
import hashlib
import io
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils._testing import assert_array_equal

from cmkdlearn.datasets import (
    _cifar,
    _fashion,
    fetch_cifar10,
    fetch_cifar100,
    fetch_fashion_mnist,
    load_fashion_mini,
    make_imbalanced,
)
from cmkdlearn.datasets._files import at_most

# where Debian's packages dataset-fashion-mnist and wordnet-base put their files
FASHION = Path("/usr/share/datasets/fashion-mnist")
WORDNET = Path("/usr/share/wordnet/index.noun")


def digest(algorithm, content):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


# --- Fashion-MNIST in miniature ------------------------------------------------------------

def test_fashion_mini_is_balanced_and_named():
    data = load_fashion_mini()
    assert data.X_train.shape == (3000, 28, 28) and data.X_test.shape == (1000, 28, 28)
    assert data.X_train.dtype == data.X_test.dtype == np.uint8
    for y, per_class in ((data.y_train, 300), (data.y_test, 100)):
        names, counts = np.unique(y, return_counts=True)
        assert_array_equal(names, np.sort(data.class_names))
        assert (counts == per_class).all()
        assert len(set(y[:100])) == 10  # shuffled
    assert "MIT" in data.DESCR


def test_fashion_mini_has_no_image_twice_in_both_parts():
    data = load_fashion_mini()
    train = {image.tobytes() for image in data.X_train}
    assert sum(image.tobytes() in train for image in data.X_test) == 0


def test_fashion_mini_as_a_tuple_and_twice():
    data = load_fashion_mini()
    parts = load_fashion_mini(return_X_y=True)
    for name, part in zip(("X_train", "X_test", "y_train", "y_test"), parts, strict=True):
        assert_array_equal(part, data[name])
    parts[0][:] = 0  # one user's change is not another's
    assert load_fashion_mini().X_train.any()


def test_fashion_mini_labels_fit_its_images():
    """Trousers are narrow, bags are wide, and shoes are low: names are not shifted."""
    data = load_fashion_mini()
    inked = data.X_train > 30
    width, height = inked.any(1).sum(1), inked.any(2).sum(1)

    def mean(values, name):
        return values[data.y_train == name].mean()

    assert mean(width, "trouser") < 16
    assert mean(width, "bag") > 24
    assert mean(height, "sneaker") < 15
    assert mean(height, "boot") > 20
    assert mean(height, "dress") > 26


def test_damaged_fashion_mini_is_refused(tmp_path, monkeypatch):
    content = bytearray(_fashion.MINI.read_bytes())
    content[1000] ^= 1
    damaged = tmp_path / "fashion_mini.npz"
    damaged.write_bytes(content)
    monkeypatch.setattr(_fashion, "MINI", damaged)
    with pytest.raises(OSError, match="fashion_mini.npz.*sha256"):
        load_fashion_mini()


@pytest.mark.skipif(not WORDNET.is_file(), reason="needs Debian's wordnet-base")
@pytest.mark.parametrize("names", [_fashion.CLASS_NAMES, _cifar.CIFAR10_NAMES,
                                   _cifar.CIFAR100_NAMES], ids=len)
def test_class_names_are_nouns_of_wordnet(names):
    nouns = {line.split(" ", 1)[0].replace("_", " ") for line in WORDNET.read_text().splitlines()}
    assert not set(names) - nouns
    assert len(set(names)) == len(names)


# --- the distributed layouts, small --------------------------------------------------------

@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A folder with Fashion-MNIST's four files, of 20 and 10 images, whose digests are known."""
    rng = np.random.default_rng(0)
    arrays, files = {}, {}
    for part, n in (("train", 20), ("t10k", 10)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(256, size=(n, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(n) % 10).astype(np.uint8)
    for name, array in arrays.items():
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        files[name] = _fashion.FILES[name]._replace(digest=digest("sha256", content))
    monkeypatch.setattr(_fashion, "FILES", files)
    return tmp_path, arrays


def tar_of(members):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def cifar_batch(rng, labels):
    """Images (n, 3, 32, 32) and their records; ``labels`` has one column a label byte."""
    images = rng.integers(256, size=(len(labels), 3, 32, 32), dtype=np.uint8)
    records = [bytes(label) + image.tobytes() for label, image in zip(labels, images, strict=True)]
    return images, b"".join(records)


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, members = [], {"cifar-10-batches-bin/readme.html": b"<html>"}
    # out of order in the archive, in order in the data
    for i in (3, 1, 5, 2, 4):
        X, members[f"cifar-10-batches-bin/data_batch_{i}.bin"] = cifar_batch(rng, [[i], [i + 4]])
        images.append((i, X))
    X_test, members["cifar-10-batches-bin/test_batch.bin"] = cifar_batch(rng, [[0], [9], [2]])
    content = tar_of(members)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(_cifar, "CIFAR10", _cifar.CIFAR10._replace(digest=digest("md5", content)))
    return tmp_path, np.concatenate([X for _, X in sorted(images, key=lambda item: item[0])]), X_test


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X, train = cifar_batch(rng, [[11, 0], [1, 99], [5, 52]])
    _, test = cifar_batch(rng, [[1, 1]])
    content = tar_of({"cifar-100-binary/train.bin": train, "cifar-100-binary/test.bin": test})
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(_cifar, "CIFAR100", _cifar.CIFAR100._replace(digest=digest("md5", content)))
    return tmp_path, X


def test_fashion_mnist_from_a_folder(fashion):
    folder, arrays = fashion
    data = fetch_fashion_mnist(folder=folder)
    assert_array_equal(data.X_train, arrays["train-images-idx3-ubyte"])
    assert_array_equal(data.X_test, arrays["t10k-images-idx3-ubyte"])
    assert_array_equal(data.y_test, data.class_names)
    assert_array_equal(data.y_train, np.tile(data.class_names, 2))
    again = fetch_fashion_mnist(folder=folder, return_X_y=True)
    assert_array_equal(again[0], data.X_train)
    assert_array_equal(again[3], data.y_test)


def test_fashion_mnist_accepts_any_compression_of_the_same_content(fashion):
    folder, arrays = fashion
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=7))
    assert_array_equal(fetch_fashion_mnist(folder=folder).X_test, arrays["t10k-images-idx3-ubyte"])


def test_cifar10_from_a_folder(cifar10):
    folder, X_train, X_test = cifar10
    data = fetch_cifar10(folder=folder)
    assert data.X_train.shape == (10, 32, 32, 3)
    assert_array_equal(data.X_train, X_train.transpose(0, 2, 3, 1))
    assert_array_equal(data.X_test, X_test.transpose(0, 2, 3, 1))
    assert_array_equal(data.y_train, data.class_names[[1, 5, 2, 6, 3, 7, 4, 8, 5, 9]])
    assert data.y_test.tolist() == ["airplane", "truck", "bird"]


def test_cifar100_takes_the_fine_label(cifar100):
    folder, X_train = cifar100
    data = fetch_cifar100(folder=folder)
    assert_array_equal(data.X_train, X_train.transpose(0, 2, 3, 1))
    assert data.y_train.tolist() == ["apple", "worm", "oak tree"]
    assert data.y_test.tolist() == ["goldfish"]
    assert len(data.class_names) == 100


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mini_is_a_part_of_the_whole():
    data = fetch_fashion_mnist(folder=FASHION)
    assert data.X_train.shape == (60000, 28, 28) and data.X_test.shape == (10000, 28, 28)
    mini = load_fashion_mini()
    for part in ("train", "test"):
        label_of = {image.tobytes(): label for image, label in
                    zip(data[f"X_{part}"], data[f"y_{part}"], strict=True)}
        assert all(label_of[image.tobytes()] == label for image, label in
                   zip(mini[f"X_{part}"], mini[f"y_{part}"], strict=True))


# --- what is not there, or not right -------------------------------------------------------

FETCH = [(fetch_fashion_mnist, "train-images-idx3-ubyte.gz"),
         (fetch_cifar10, "cifar-10-binary.tar.gz"), (fetch_cifar100, "cifar-100-binary.tar.gz")]


@pytest.mark.parametrize("fetch, name", FETCH)
def test_missing_file_is_named_with_its_path_and_source(fetch, name, tmp_path):
    folder = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError) as error:
        fetch(folder=folder)
    assert str(folder / name) in str(error.value)
    assert "https://" in str(error.value)


@pytest.mark.parametrize("fetch, name", FETCH)
def test_no_download_unless_allowed(fetch, name, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("downloads"))
    with pytest.raises(FileNotFoundError, match="download_if_missing=False") as error:
        fetch(data_home=tmp_path, download_if_missing=False)
    assert str(tmp_path / "cmkdlearn" / name) in str(error.value)


@pytest.mark.parametrize("fetch, name", FETCH)
def test_no_network_says_where_to_put_the_file(fetch, name, tmp_path, monkeypatch):
    def unreachable(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(OSError, match="no route to host") as error:
        fetch(data_home=tmp_path)
    assert str(tmp_path / "cmkdlearn" / name) in str(error.value)
    assert "folder=" in str(error.value)
    assert not list((tmp_path / "cmkdlearn").iterdir())


def test_download_is_checked_kept_and_used_again(cifar10, tmp_path_factory, monkeypatch):
    folder, X_train, _ = cifar10
    content, urls = (folder / "cifar-10-binary.tar.gz").read_bytes(), []

    def urlopen(url, timeout):
        urls.append(url)
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    home = tmp_path_factory.mktemp("home")
    for _ in range(2):
        assert_array_equal(fetch_cifar10(data_home=home).X_train, X_train.transpose(0, 2, 3, 1))
    assert urls == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    assert [path.name for path in (home / "cmkdlearn").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_truncated_download_is_not_kept(cifar10, tmp_path_factory, monkeypatch):
    content = (cifar10[0] / "cifar-10-binary.tar.gz").read_bytes()
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content[:-100]))
    home = tmp_path_factory.mktemp("home")
    with pytest.raises(OSError, match="its md5 is"):
        fetch_cifar10(data_home=home)
    assert not list((home / "cmkdlearn").iterdir())


def test_wrong_archive_is_refused_by_name(cifar100):
    path = cifar100[0] / "cifar-100-binary.tar.gz"
    path.write_bytes(tar_of({"cifar-100-binary/train.bin": b"", "cifar-100-binary/test.bin": b""}))
    with pytest.raises(OSError, match="cifar-100-binary.tar.gz is not the published file.*md5"):
        fetch_cifar100(folder=cifar100[0])


def test_wrong_content_is_refused_by_name(fashion):
    path = fashion[0] / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(OSError, match="t10k-labels-idx1-ubyte.gz is not the published.*sha256"):
        fetch_fashion_mnist(folder=fashion[0])


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_truncated_gz_is_refused_by_name(fashion, keep):
    path = fashion[0] / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(OSError, match="train-images-idx3-ubyte.gz is"):
        fetch_fashion_mnist(folder=fashion[0])


@pytest.mark.parametrize("packed", [True, False])
def test_no_more_is_unpacked_than_was_published(fashion, monkeypatch, packed):
    """A few kilobytes of a .gz file may be gigabytes; what is too large is not read to its end."""
    folder, _ = fashion
    name = "train-labels-idx1-ubyte"
    if packed:
        content = gzip.compress(bytes(2**24))
    else:  # the .gz file itself is larger than what it should hold
        content = gzip.compress(np.random.default_rng(0).bytes(2**20))
    (folder / f"{name}.gz").write_bytes(content)
    seen = []
    monkeypatch.setattr("cmkdlearn.datasets._files.check_digest", lambda *args: seen.append(args))
    with pytest.raises(OSError, match=f"{name}.gz is not the published file, which holds no more "
                                      "than 60,008 bytes"):
        fetch_fashion_mnist(folder=folder)
    assert all(len(content) <= 16 + 60_000 * 28 * 28 for _, content, *_ in seen)


def test_an_endless_download_ends(tmp_path, monkeypatch):
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            assert size > 0
            Endless.given += size
            return bytes(size)

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Endless())
    with pytest.raises(OSError, match="no more than 47,040,016 bytes"):
        fetch_fashion_mnist(data_home=tmp_path)
    assert Endless.given == 47_040_017
    assert not list((tmp_path / "cmkdlearn").iterdir())


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1])
def test_a_file_of_the_published_size_is_read_whole(size):
    assert at_most(io.BytesIO(bytes(size)), size) == bytes(size)
    assert at_most(io.BytesIO(bytes(size + 1)), size) is None


# --- imbalance -----------------------------------------------------------------------------

def numbered(sizes):
    """Row i of X holds i; labels are shuffled."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.arange(len(y))[:, None], y


def test_imbalance_by_hand():
    X, y = numbered([1000] * 3)
    X_kept, y_kept = make_imbalanced(X, y, factor=100, random_state=0)
    assert np.bincount(y_kept).tolist() == [1000, 100, 10]
    assert_array_equal(y[X_kept[:, 0]], y_kept)  # rows keep their labels
    assert (np.diff(X_kept[:, 0]) > 0).all()  # and their order, and none twice


def test_long_tailed_cifar_has_the_published_class_sizes():
    """CIFAR-10 and CIFAR-100 at factor 100: Cao et al. 2019, Cui et al. 2019."""
    _, y = make_imbalanced(*numbered([5000] * 10), factor=100)
    assert np.bincount(y).tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    _, y = make_imbalanced(*numbered([500] * 100), factor=100)
    counts = np.bincount(y)
    assert (counts[0], counts[-1], counts.sum()) == (500, 5, 10847)


def test_factor_one_keeps_a_balanced_set():
    X, y = numbered([7, 7])
    X_kept, y_kept = make_imbalanced(X, y, factor=1)
    assert_array_equal(X_kept, X)
    assert_array_equal(y_kept, y)


def test_whole_sizes_are_not_rounded_down():
    _, y = make_imbalanced(*numbered([98, 98]), factor=49)  # 98 * 49 ** -1. is below 2
    assert np.bincount(y).tolist() == [98, 2]


@given(n=st.integers(1, 200), n_classes=st.integers(2, 12), factor=st.floats(1, 1e4))
def test_sizes_fall_and_nobody_is_lost(n, n_classes, factor):
    _, y = make_imbalanced(*numbered([n] * n_classes), factor=factor, random_state=0)
    counts = np.bincount(y, minlength=n_classes)
    assert counts[0] == n
    assert (np.diff(counts) <= 0).all()
    assert counts[-1] == max(1, np.floor(n / factor + 1e-9))


def test_the_order_of_the_classes_can_be_given():
    y = np.repeat(["cat", "dog", "emu"], 100)
    _, kept = make_imbalanced(y, y, factor=4, classes=["dog", "emu", "cat"])
    assert dict(zip(*np.unique(kept, return_counts=True), strict=True)) == {
        "dog": 100, "emu": 50, "cat": 25}


def test_random_state_draws():
    X, y = numbered([100, 100])
    first, same, other = (make_imbalanced(X, y, factor=2, random_state=seed)[0]
                          for seed in (0, 0, 1))
    assert_array_equal(first, same)
    assert (first != other).any()


def test_modalities_and_frames_stay_together():
    X, y = numbered([10, 10])
    frame = pd.DataFrame({"a": X[:, 0]})
    several, kept = make_imbalanced({"image": X, "text": frame}, pd.Series(y), factor=5,
                                    random_state=0)
    assert len(kept) == 12 and isinstance(kept, pd.Series)
    assert_array_equal(several["image"][:, 0], several["text"]["a"])
    assert_array_equal(y[several["image"][:, 0]], kept)


def test_imbalance_refuses_by_name():
    X, y = numbered([100, 10, 100])
    with pytest.raises(ValueError, match="factor=0.5"):
        make_imbalanced(X, y, factor=0.5)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make_imbalanced(X[1:], y)
    with pytest.raises(ValueError, match="only the class 0"):
        make_imbalanced(X[y == 0], y[y == 0])
    with pytest.raises(ValueError, match="Class 1 has 10 samples and would have to keep 50"):
        make_imbalanced(X, y, factor=4)
    with pytest.raises(ValueError, match=r"classes=\[0, 1\] must hold each label"):
        make_imbalanced(X, y, classes=[0, 1])
