"""Data sets: fetched, made, made harder, or read as their authors distribute them."""

from cmkdlearn.datasets._audiovisual import load_ave, load_cremad, load_ravdess, load_vggsound
from cmkdlearn.datasets._cifar import fetch_cifar10, fetch_cifar100
from cmkdlearn.datasets._fashion import fetch_fashion_mnist, load_fashion_mini
from cmkdlearn.datasets._fsdd import fetch_fsdd
from cmkdlearn.datasets._gaussian import make_gaussian_modalities
from cmkdlearn.datasets._image_folders import (
    load_imagenet,
    load_imagenet_lt,
    load_scene,
    load_utkface,
)
from cmkdlearn.datasets._imbalanced import make_imbalanced
from cmkdlearn.datasets._lazy_files import ArrayFiles, FrameFiles, ImageFiles, SoundFiles
from cmkdlearn.datasets._mnistm import make_mnistm
from cmkdlearn.datasets._mosei import load_mosei
from cmkdlearn.datasets._omics import load_tcga
from cmkdlearn.datasets._unpaired import make_unpaired, subsample

__all__ = [
    "ArrayFiles",
    "FrameFiles",
    "ImageFiles",
    "SoundFiles",
    "fetch_cifar10",
    "fetch_cifar100",
    "fetch_fashion_mnist",
    "fetch_fsdd",
    "load_ave",
    "load_cremad",
    "load_fashion_mini",
    "load_imagenet",
    "load_imagenet_lt",
    "load_mosei",
    "load_ravdess",
    "load_scene",
    "load_tcga",
    "load_utkface",
    "load_vggsound",
    "make_gaussian_modalities",
    "make_imbalanced",
    "make_mnistm",
    "make_unpaired",
    "subsample",
]
