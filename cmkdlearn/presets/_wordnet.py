"""Guo et al., "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings"."""

import torch

from cmkdlearn.nn.augment import StrongAugmentation
from cmkdlearn.nn.modules import EmbeddingResNet
from cmkdlearn.presets._values import annealed, falling, of, unknown

# -------------------------------------------------------------------- the paper


def paper(*, rand_augment=False):
    """What sections 4 and 5 print; of training they print nothing."""
    untold = unknown("max_epochs", "batch_size", "lr", "optimizer", "callbacks")
    strong = StrongAugmentation(autoaugment=0.0 if rand_augment else 1.0)
    image_teacher = untold | of("section 5", module="resnet50", module__pretrained=True)
    return {
        "strong_teacher": image_teacher | of("section 4.1", augmentation=strong),
        "weak_teacher": image_teacher | of("section 4.1", augmentation="weak"),
        "wordnet_teacher": untold | of(
            "section 5", module=EmbeddingResNet, module__pretrained=True) | of(
            "section 4.3, after equation 6", lambda_hier=0.1, lambda_cosreg=0.01) | of(
            "Algorithm 1, step 2", nouns_per_cluster=5) | of(
            "section 6.1: 0 % gt, 100 % wn", relaxation="wordnet", relaxed_proportion=1.0) | of(
            "section 4.1", use_image=True, use_text=True) | of(
            "section 4.2", learnable_text=True, exclude="names") | unknown(
            "n_clusters", "templates", "text_temperature"),
        "student": untold | of("section 5: from scratch", module="resnet18",
                               module__pretrained=False) | of(
            "section 5: strong", augmentation=strong) | of("equation 2", loss="kd") | of(
            "equation 1: the mean of T_m and T_x", teacher_weights=None) | unknown(
            "lambda_kd", "temperature", "teacher_view"),
        "protocol": of(
            "section 4.1", T_m="the mean of the strongly and the weakly augmented teacher") | of(
            "section 6.1", baseline="T_1s, T_2w and T_3s: three augmented ResNet-50s",
            measure="top-1 validation accuracy") | of(
            "section 4.2", nouns="synonyms and hypernyms of the classes' names, and not the names "
                                 "themselves") | of(
            "section 6.5", proportions=(0.0, 0.2, 0.5, 0.8, 1.0)) | unknown("embedder", "runs"),
    }


# -------------------------------------------------------------------- the authors' code

SCRIPT = "github.com/chenqiguo/CrossmodalKD, "

# 0.6 of the loss is the labels' and 0.4 the teachers', so that the whole is 0.6 times ours
HARD_WEIGHT = 0.6


def script(name, *, data, classes, student, T_x, T_m, n_clusters, split, lr=0.1):
    """A script of the authors, ResNet setting; each network's (epochs, schedule, batch size)."""
    run = f"{SCRIPT}script/{name}"
    main, trainer = f"{SCRIPT}mainCLIPKD_regularizerV2.py", f"{SCRIPT}trainer_regularizerV2.py"
    loader, readme = f"{SCRIPT}data_loader", f"{SCRIPT}README.md"

    def training(epochs, falls, batch_size):
        return of(run, max_epochs=epochs, batch_size=batch_size, lr=lr, callbacks=[falls]) | of(
            main, optimizer=torch.optim.SGD, optimizer__momentum=0.9)

    image_teacher = (unknown("max_epochs", "batch_size") if T_m is None else training(*T_m)) | of(
        readme, module="resnet50")
    return {
        "data": of(loader, **data),
        "strong_teacher": image_teacher | of(readme, augmentation="strong"),
        "weak_teacher": image_teacher | of(readme, augmentation="weak"),
        "wordnet_teacher": training(*T_x) | {
            "n_clusters": (n_clusters, f"{SCRIPT}script/script_forESWA_LLMrelaxed.sh")
            if n_clusters else unknown("n_clusters")["n_clusters"]} | of(
            trainer, lambda_hier=0.2, lambda_cosreg=0.005, templates="tac",
            text_temperature=0.005) | of(main, module=EmbeddingResNet),
        "student": training(*student) | of(
            run, temperature=3.0, lambda_kd=(1 - HARD_WEIGHT) / HARD_WEIGHT,
        ) | of(readme, module="resnet18", augmentation="strong"),
        "protocol": of(
            main, classes=classes, embedder="CLIP ViT-B/32",
        ) | of(
            loader, split=split, preprocessing="224 x 224, CIFAR-100 too",
            strong="RandAugment (ImageNet) or AutoAugment with cut-out (the others)",
        ) | of(
            readme, teacher_weights="inverse to each teacher's recent distillation loss",
        ) | of(
            trainer,
            loss_scale="0.6 CE + 0.4 T^2 KL, so 0.6 times the loss here: the rate is as much less",
        ) | unknown("runs", "weight_decay"),
    }


THREE_FALLS = (61, falling(25, 40, 60), 128)

WORDNET = {
    "wordnet/imagenet": {"paper": paper(rand_augment=True), "script": script(
        "script_imagenet_regularizerV2.sh", data={"image_size": 224}, classes=1000,
        student=(100, annealed(100), 512), T_x=(35, annealed(30), 1024), T_m=None, n_clusters=1100,
        split="train and val")},
    "wordnet/imagenet-lt": {"paper": paper(), "script": script(
        "script_imagenet_regularizerV2.sh", data={"image_size": 224}, classes=1000,
        student=(230, falling(200, 210, 220), 512), T_x=(60, falling(18, 36, 54), 1024), T_m=None,
        n_clusters=1100, split="ImageNet_LT_train.txt; evaluated on ImageNet_LT_val.txt")},
    "wordnet/cifar-100": {"paper": paper(), "script": script(
        "script_cifar100_regularizerV2.sh", data={}, classes=100,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=None, n_clusters=150,
        split="the data set's own")},
    "wordnet/cifar-100-imb100": {"paper": paper(), "script": script(
        "script_cifar100imb100_regularizerV2.sh", data={}, classes=100,
        student=(300, falling(160, 165, 170), 128), T_x=(200, falling(50, 100, 150), 512), T_m=None,
        n_clusters=150,
        split="make_imbalanced(X_train, y_train, factor=100); the test part stays balanced")},
    "wordnet/scene": {"paper": paper(), "script": script(
        "script_scene_regularizerV2.sh", data={"image_size": 224}, classes=6, lr=1e-3,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=THREE_FALLS, n_clusters=150,
        split="lists that are not in the repository")},
    "wordnet/utkface": {"paper": paper(), "script": script(
        "script_UTKFace_regularizerV2.sh", data={"target": "race", "image_size": 224}, classes=5,
        lr=1e-3,
        student=(500, falling(300, 400), 128), T_x=THREE_FALLS, T_m=THREE_FALLS, n_clusters=None,
        split="lists that are not in the repository")},
}
