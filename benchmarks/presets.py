"""The papers' configurations by name, each value with its source.

    from benchmarks.presets import preset

    settings = preset("ucmkd/ravdess")
    data = load_ravdess(folder, split="train", **settings["data"])
    student = UCMKDStudent(teacher, modality="image", **settings["student"])

``ESTIMATORS`` says whose parameters the parts of a preset are. Its "protocol" is what is no
parameter: what has to be done by hand, or differs here. What is not known here stands in
``PRESETS`` as None, and is no part of what :func:`preset` returns, so that the estimator's own
default takes its place.

The papers' texts were not at hand. The sources are the code that their authors have published,
whose run files hold one configuration where a paper's tables compare several, and this project's
own description of the three methods. Of the second paper no code was found.
"""

import copy
import difflib
import math
from functools import partial

import torch
import torch.nn.functional as F
from skorch.callbacks import GradientNormClipping, LRScheduler

from cmkdlearn import datasets
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import FusionClassifier, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

NOT_KNOWN = "not known here"
SPECIFICATION = "this project's description of the methods"
UCMKD = "github.com/Duckduck-05/UCMKD, "
WORDNET = "github.com/chenqiguo/CrossmodalKD, "

ESTIMATORS = {
    "ucmkd": {"teacher": UnimodalTeacher, "student": UCMKDStudent,
              "vanilla_kd": MultiTeacherDistiller},
    "wordnet": {"unimodal_teacher": UnimodalTeacher, "wordnet_teacher": WordNetRelaxedTeacher,
                "student": MultiTeacherDistiller},
    "cch": {"network": UnimodalTeacher, "selector": CCHSelector, "student": MultiTeacherDistiller,
            "fusion": FusionClassifier},
}
LOADERS = {
    "ucmkd/ravdess": datasets.load_ravdess, "ucmkd/crema-d": datasets.load_cremad,
    "ucmkd/ave": datasets.load_ave, "ucmkd/vggsound": datasets.load_ave,
    "wordnet/imagenet": datasets.load_imagenet, "wordnet/imagenet-lt": datasets.load_imagenet_lt,
    "wordnet/cifar-100": datasets.fetch_cifar100,
    "wordnet/cifar-100-imb100": datasets.fetch_cifar100, "wordnet/scene": datasets.load_scene,
    "wordnet/utkface": datasets.load_utkface, "cch/mnist-m": datasets.make_mnistm,
    "cch/mosei": datasets.load_mosei, "cch/brca": datasets.load_tcga,
    "cch/kipan": datasets.load_tcga, "cch/lihc": datasets.load_tcga,
}


def preset(name):
    """Return a paper's configuration: a dict of parameters for each part, without the sources."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS) or list(PRESETS)
        raise ValueError(f"There is no preset {name!r}, but {', '.join(near)}.")
    return {part: {key: copy.deepcopy(value) for key, (value, source) in settings.items()
                   if source != NOT_KNOWN}
            for part, settings in PRESETS[name].items()}


def sources(name):
    """Return the source of each value, by part and key."""
    return {part: {key: source for key, (_, source) in settings.items()}
            for part, settings in PRESETS[name].items()}


def from_source(source, **values):
    """Give each value its source."""
    return {name: (value, source) for name, value in values.items()}


def unknown(*names):
    """Say of which values nothing is known."""
    return {name: (None, NOT_KNOWN) for name in names}


# -------------------------------------------------------------------- schedules and costs

def cosine_distance(x, y):
    """1 - cos; "angular" is the angle itself."""
    return 1 - F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).transpose(-1, -2)


def warm_up_and_cosine(epoch, warm_up, epochs, floor):
    """Factor of the learning rate: linearly from ``floor`` to 1, and back by half a cosine."""
    if epoch < warm_up:
        return floor + (1 - floor) * epoch / warm_up
    turn = math.pi * (epoch - warm_up) / (epochs - warm_up)
    return floor + (1 - floor) * (1 + math.cos(turn)) / 2


def warm_up_and_steps(epoch, steps, warm_up=8):
    """Factor of the learning rate: linearly up to 1 in 8 epochs, and a tenth at each step."""
    return 0.1 ** sum(epoch >= step for step in steps) * min(1, (1 + epoch) / warm_up)


def factor(function, **params):
    return ("schedule", LRScheduler(policy="LambdaLR", lr_lambda=partial(function, **params)))


def falling(*steps):
    return factor(warm_up_and_steps, steps=steps)


def annealed(epochs):
    return ("schedule", LRScheduler(policy="CosineAnnealingLR", T_max=epochs))


# -------------------------------------------------------------------- UCMKD

TIMM = {"resnet18": "resnet18", "vit_s_16": "vit_small_patch16_224",
        "vit_l_16": "vit_large_patch16_224"}


def ucmkd(dataset, *, data, image, audio, epochs, teacher_epochs, batch_size, lr, min_lr, warm_up,
          optimizer, weight_decay, inner_lr, metric, smoothing, pairs, split, preprocessing):
    """A run file of UCMKD's authors, for a student that sees images and a teacher that hears."""
    run_file, helper = f"{UCMKD}{dataset}/run.sh", f"{UCMKD}{dataset}/utils/helper.py"
    main = f"{UCMKD}{dataset}/main_overlap_tag.py"
    # SGD is given no weight decay there, whatever the run file says
    chosen = ({"optimizer": torch.optim.AdamW, "optimizer__weight_decay": weight_decay}
              if optimizer == "adamw" else
              {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9})
    training = from_source(run_file, batch_size=batch_size, lr=lr) | from_source(main, **chosen)
    callbacks = [factor(warm_up_and_cosine, warm_up=warm_up, epochs=epochs, floor=min_lr / lr),
                 ("clipping", GradientNormClipping(gradient_clip_value=5.0))]
    student = training | from_source(run_file, module=TIMM[image], max_epochs=epochs,
                                     callbacks=callbacks)
    return {
        "data": from_source(f"{UCMKD}README.md", **data),
        "teacher": training | from_source(run_file, module=TIMM[audio], max_epochs=teacher_epochs),
        "student": student | from_source(
            run_file, lambda_fa=1.0, lambda_la=1.0, sinkhorn_reg=0.1, fa_steps=1, la_steps=1,
            inner_lr=inner_lr, metric=cosine_distance if metric == "cosine" else metric,
        ) | from_source(
            helper, bilevel=True, order="first", la_scope="head", la_gradient="student",
            feature_scale=1.0, label_cost=0.0, decay=False, label_smoothing=smoothing,
        ),
        "vanilla_kd": student | from_source(
            run_file, temperature=4.0, lambda_kd=9.0,  # 0.9 of the loss, and 0.1 the labels'
        ) | from_source(helper, loss="kd", label_smoothing=0.0),
        "protocol": from_source(
            helper,
            split=split, preprocessing=preprocessing, pairs=pairs,
            inner_steps="AdamW with a weight decay of 0.05, which moves each parameter by the "
                        "inner rate whatever the gradient's length, and the weights of FA and LA "
                        "are not applied; plain gradient steps here",
            chosen="the epoch of the best validation accuracy",
            smoothing=f"{smoothing} in the bi-level method, none in the baselines",
        ) | unknown("pretrained", "runs"),
    }


CLASS_MATCHED = ("in training each image comes with a sound of its class, drawn at random, so a "
                 "batch has the same labels on both sides")
SHOWN_FRAME = "one frame, 224 x 224; training: random resized crop and flip"

# -------------------------------------------------------------------- WordNet-relaxed KD

# 0.6 of the loss is the labels' and 0.4 the teachers', so that the whole is 0.6 times ours
HARD_WEIGHT = 0.6


def wordnet(script, *, data, classes, student, T_x, T_m, n_clusters, split, lr=0.1):
    """A script of the authors, ResNet setting; each network's (epochs, schedule, batch size)."""
    script = f"{WORDNET}script/{script}"
    main, trainer = f"{WORDNET}mainCLIPKD_regularizerV2.py", f"{WORDNET}trainer_regularizerV2.py"
    loader, readme = f"{WORDNET}data_loader", f"{WORDNET}README.md"

    def training(epochs, falls, batch_size):
        return from_source(script, max_epochs=epochs, batch_size=batch_size, lr=lr,
                           callbacks=[falls]) | from_source(
            main, optimizer=torch.optim.SGD, optimizer__momentum=0.9)

    return {
        "data": from_source(loader, **data),
        "unimodal_teacher": (unknown("max_epochs", "batch_size") if T_m is None
                             else training(*T_m)) | from_source(readme, module="resnet50"),
        "wordnet_teacher": training(*T_x) | from_source(
            SPECIFICATION, lambda_hier=0.1, lambda_cosreg=0.01, nouns_per_cluster=5,
            relaxed_proportion=1.0, learnable_text=True,
        ) | {"n_clusters": (n_clusters, f"{WORDNET}script/script_forESWA_LLMrelaxed.sh")
             if n_clusters else (None, NOT_KNOWN)},
        "student": training(*student) | from_source(
            script, temperature=3.0, lambda_kd=(1 - HARD_WEIGHT) / HARD_WEIGHT,
        ) | from_source(readme, module="resnet18", augmentation="strong"),
        "protocol": from_source(
            main, classes=classes, embedder="CLIP ViT-B/32",
            T_x="a ResNet-50 whose first convolution reads the 1,024 numbers as channels; here a "
                "module reads them as a table",
        ) | from_source(
            loader, split=split, preprocessing="224 x 224, CIFAR-100 too",
            strong="RandAugment (ImageNet) or AutoAugment with cut-out (the others)",
        ) | from_source(
            readme, T_m="weakly and strongly augmented",
            teacher_weights="inverse to each teacher's recent distillation loss, in the latest "
                            "version; their mean in the paper",
        ) | from_source(
            trainer, lambda_hier="0.2, and 0.005 for lambda_cosreg, in the code's latest version",
            loss_scale="0.6 CE + 0.4 T^2 KL, so 0.6 times the loss here: the rate is as much less",
        ) | unknown("runs", "weight_decay"),
    }


# -------------------------------------------------------------------- CCH

def cch(*, data, protocol):
    """The Cross-modal Complementarity Hypothesis; only its description is at hand."""
    return {
        "data": data,
        "network": unknown("module__hidden", "max_epochs", "batch_size", "lr", "optimizer"),
        "selector": from_source(SPECIFICATION, mi_estimator="latent", criterion="cch",
                                n_components=None) | unknown("n_repeats"),
        "student": from_source(SPECIFICATION, loss="kd") | unknown(
            "lambda_kd", "temperature", "max_epochs", "batch_size", "lr", "optimizer"),
        "fusion": unknown("alpha", "temperature", "max_epochs"),
        "protocol": from_source(
            SPECIFICATION, network="one architecture for both modalities",
            loss="alpha CE + (1 - alpha) T^2 KL; lambda_kd is (1 - alpha) / alpha", **protocol,
        ) | unknown("split", "runs"),
    }


OMICS = {"features": "100 by minimum redundancy, maximum relevance, on the training samples",
         "samples": "complete cases"}
THREE_FALLS = (61, falling(25, 40, 60), 128)

PRESETS = {
    "ucmkd/ravdess": ucmkd(
        "ravdess", data={"modalities": ["audio", "image"]}, image="vit_l_16", audio="vit_s_16",
        epochs=100, teacher_epochs=20, batch_size=64, lr=1e-4, min_lr=1e-6, warm_up=10,
        optimizer="adamw", weight_decay=0.05, inner_lr=5e-5, metric="cosine", smoothing=0.1,
        pairs=CLASS_MATCHED,
        split="the lists spa_dl.csv, spa_val.csv, spa_test.csv, which are not in the repository",
        preprocessing=f"{SHOWN_FRAME}; mel spectrograms - (-10.59) over 85.66, and in training two "
                      "masks each of up to 15 % of the bands and 20 % of the frames"),
    "ucmkd/crema-d": ucmkd(
        "cremad", data={"image_folder": "Image-01-FPS", "audio_folder": "Audio-1004"},
        image="resnet18", audio="resnet18", epochs=100, teacher_epochs=100, batch_size=64, lr=1e-2,
        min_lr=1e-5, warm_up=5, optimizer="sgd", weight_decay=1e-5, inner_lr=1e-5, metric="cosine",
        smoothing=0.0, pairs="image and sound are those of one clip: the samples are paired",
        split="train.csv and test.csv of OGM-GE; no validation part is mentioned",
        preprocessing="two frames, centre crop of 224 and flip; spectrograms as they were saved"),
    "ucmkd/ave": ucmkd(
        "ave", data={"image_folder": "Image-01-FPS-SE", "audio_folder": "Audio-1004-SE"},
        image="vit_s_16", audio="vit_l_16", epochs=30, teacher_epochs=20, batch_size=32, lr=1e-4,
        min_lr=1e-5, warm_up=5, optimizer="adamw", weight_decay=1e-5, inner_lr=1e-5, metric="l2",
        smoothing=0.0, pairs=CLASS_MATCHED,
        split="the data set's own", preprocessing=f"{SHOWN_FRAME}; spectrograms 257 x 1,024"),
    "ucmkd/vggsound": {
        "data": from_source(f"{UCMKD}README.md", image_folder="Image-01-FPS-SE",
                            audio_folder="Audio-1004-SE"),
        "teacher": from_source(f"{UCMKD}vggsound/run.sh", module="resnet18", max_epochs=100,
                               batch_size=64, lr=1e-2),
        "student": from_source(f"{UCMKD}vggsound/run.sh", module="resnet18", max_epochs=100,
                               batch_size=64, lr=1e-2) | from_source(
            f"{UCMKD}vggsound/main_overlap_tag.py", optimizer=torch.optim.SGD,
            optimizer__momentum=0.9) | unknown(
            "lambda_fa", "lambda_la", "inner_lr", "metric", "label_smoothing"),
        "protocol": from_source(
            f"{UCMKD}vggsound/README.md",
            split="lists of 50 classes in the form of AVE's, which are not in the repository",
            preprocessing="three frames, 224 x 224; spectrograms 257 x 1,024",
            method="this part of the repository has C2KD and no UCMKD"),
    },
    "wordnet/imagenet": wordnet(
        "script_imagenet_regularizerV2.sh", data={"image_size": 224}, classes=1000,
        student=(100, annealed(100), 512), T_x=(35, annealed(30), 1024), T_m=None, n_clusters=1100,
        split="train and val"),
    "wordnet/imagenet-lt": wordnet(
        "script_imagenet_regularizerV2.sh", data={"image_size": 224}, classes=1000,
        student=(230, falling(200, 210, 220), 512), T_x=(60, falling(18, 36, 54), 1024), T_m=None,
        n_clusters=1100, split="ImageNet_LT_train.txt; evaluated on ImageNet_LT_val.txt"),
    "wordnet/cifar-100": wordnet(
        "script_cifar100_regularizerV2.sh", data={}, classes=100,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=None, n_clusters=150,
        split="the data set's own"),
    "wordnet/cifar-100-imb100": wordnet(
        "script_cifar100imb100_regularizerV2.sh", data={}, classes=100,
        student=(300, falling(160, 165, 170), 128), T_x=(200, falling(50, 100, 150), 512), T_m=None,
        n_clusters=150,
        split="make_imbalanced(X_train, y_train, factor=100); the test part stays balanced"),
    "wordnet/scene": wordnet(
        "script_scene_regularizerV2.sh", data={"image_size": 224}, classes=6, lr=1e-3,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=THREE_FALLS, n_clusters=150,
        split="lists that are not in the repository"),
    "wordnet/utkface": wordnet(
        "script_UTKFace_regularizerV2.sh", data={"target": "race", "image_size": 224}, classes=5,
        lr=1e-3,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=THREE_FALLS, n_clusters=None,
        split="lists that are not in the repository"),
    "cch/mnist-m": cch(
        data=unknown("gamma"),
        protocol={"teacher": "MNIST", "student": "MNIST-M at two blends gamma",
                  "blur": (0, 0.5, 1.5, 2.5, 3.5)}),
    "cch/mosei": cch(data=unknown("neutral"), protocol={"labels": "binary sentiment"}),
    "cch/brca": cch(data=unknown("label"), protocol=OMICS),
    "cch/kipan": cch(data=unknown("subtypes", "label"), protocol=OMICS),
    "cch/lihc": cch(data=unknown("subtypes", "label"), protocol=OMICS),
}
