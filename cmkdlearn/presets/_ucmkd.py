"""Tran et al., "Cross-Modal Knowledge Distillation without Paired Data"."""

import torch
from skorch.callbacks import GradientNormClipping

from cmkdlearn.presets._values import (
    cosine_distance,
    factor,
    of,
    unknown,
    warm_up_and_cosine,
)

# -------------------------------------------------------------------- the paper

BACKBONES = {  # of teacher and student
    "": ("resnet18", "resnet18", "Table 12"),
    "-resnet50": ("resnet50", "resnet50", "Table 13"),
    "-vit-b": ("vit_base_patch16_224", "vit_small_patch16_224", "Table 8"),
    "-vit-l": ("vit_large_patch16_224", "vit_small_patch16_224", "Table 10"),
}


def paper(backbone="", **dataset):
    """Algorithm 1 with the numbers of Table 12, which are the same for all data sets."""
    teacher, student, table = BACKBONES[backbone]
    origin = "Table 12" if table == "Table 12" else \
        f"Table 12, of ResNet-18; {table} prints no other numbers"
    training = of(origin, batch_size=64, optimizer=torch.optim.SGD) | of(
        "section 4.1, of each network, and Table 12", max_epochs=100, lr=1e-2) | unknown(
        "optimizer__momentum", "optimizer__weight_decay", "callbacks", "augmentation",
        "label_smoothing", "module__pretrained")
    method = training | of(table, module=student) | of(
        origin, lambda_fa=1.0, lambda_la=1.0, fa_steps=1, la_steps=1) | of(
        "Algorithm 1: one rate for both levels", inner_lr="lr") | of(
        "Algorithm 1: plain steps", inner_optimizer="sgd") | of(
        "Algorithm 1", bilevel=True, la_scope="all") | of(
        "section 3.1", metric="l2", sinkhorn_reg=0.1) | of(
        "equations 12 and 14", feature_scale=1.0, label_cost=0.0) | of(
        "equation 15, no part of which is held fixed", la_gradient="full") | of(
        "equation 58; section 6 speaks of \"second-order updates or their approximations\"",
        order="first") | of("Algorithm 1: the weights are constants", decay=False)
    return {
        "teacher": training | of(table, module=teacher),
        "student": method,
        "feature_kd": method | of("section 4.2", lambda_la=0.0) | of(
            "equation 57: one pass; yet Table 6 has Table 1's numbers for FA alone on two levels",
            bilevel=False),
        "vanilla_kd": training | of(table, module=student) | of("equation 55", loss="kd")
        | unknown("alpha", "temperature"),
        "protocol": of("Appendix F", runs=5, gpu="NVIDIA RTX A6000") | of("section 4.1", **dataset)
        | of("section 4.1", unpaired="the indices of one modality are shuffled",
             initial_rate="1e-2 is the initial learning rate; no schedule is printed")
        | of("section 4.4", training_shares=(0.3, 0.4, 0.5),
             weights_grid=(0.2, 0.4, 0.6, 0.8, 1.0))
        | of("Table 7", metrics=("l1", "l2", "angular"))
        | unknown("split", "image_size", "frames", "spectrogram"),
    }


# -------------------------------------------------------------------- the authors' code

SCRIPT = "github.com/Duckduck-05/UCMKD, "
TIMM = {"resnet18": "resnet18", "vit_s_16": "vit_small_patch16_224",
        "vit_l_16": "vit_large_patch16_224"}


def script(dataset, *, data, image, audio, epochs, teacher_epochs, batch_size, lr, min_lr, warm_up,
           optimizer, weight_decay, inner_lr, metric, smoothing, pairs, split, preprocessing):
    """A run file of the authors, for a student that sees images and a teacher that hears."""
    run_file, helper = f"{SCRIPT}{dataset}/run.sh", f"{SCRIPT}{dataset}/utils/helper.py"
    main = f"{SCRIPT}{dataset}/main_overlap_tag.py"
    # SGD is given no weight decay there, whatever the run file says
    chosen = ({"optimizer": torch.optim.AdamW, "optimizer__weight_decay": weight_decay}
              if optimizer == "adamw" else
              {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9})
    training = of(run_file, batch_size=batch_size, lr=lr) | of(main, **chosen)
    callbacks = [factor(warm_up_and_cosine, warm_up=warm_up, epochs=epochs, floor=min_lr / lr),
                 ("clipping", GradientNormClipping(gradient_clip_value=5.0))]
    student = training | of(run_file, module=TIMM[image], max_epochs=epochs, callbacks=callbacks)
    return {
        "data": of(f"{SCRIPT}README.md", **data),
        "teacher": training | of(run_file, module=TIMM[audio], max_epochs=teacher_epochs),
        "student": student | of(
            run_file, lambda_fa=1.0, lambda_la=1.0, sinkhorn_reg=0.1, fa_steps=1, la_steps=1,
            inner_lr=inner_lr, metric=cosine_distance if metric == "cosine" else metric,
        ) | of(
            helper, bilevel=True, order="first", la_scope="head", la_gradient="student",
            feature_scale=1.0, label_cost=0.0, decay=False, label_smoothing=smoothing,
            inner_optimizer="adamw", inner_weight_decay=0.05,
        ),
        "vanilla_kd": student | of(
            run_file, temperature=4.0, lambda_kd=9.0,  # 0.9 of the loss, and 0.1 the labels'
        ) | of(helper, loss="kd", label_smoothing=0.0),
        "protocol": of(
            helper,
            split=split, preprocessing=preprocessing, pairs=pairs,
            chosen="the epoch of the best validation accuracy",
            smoothing=f"{smoothing} in the bi-level method, none in the baselines",
        ) | unknown("pretrained", "runs"),
    }


CLASS_MATCHED = ("in training each image comes with a sound of its class, drawn at random, so a "
                 "batch has the same labels on both sides")
SHOWN_FRAME = "one frame, 224 x 224; training: random resized crop and flip"

UCMKD = {
    "ucmkd/ravdess": {"paper": paper(n=1440, n_classes=8), "script": script(
        "ravdess", data={"modalities": ["audio", "image"]}, image="vit_l_16", audio="vit_s_16",
        epochs=100, teacher_epochs=20, batch_size=64, lr=1e-4, min_lr=1e-6, warm_up=10,
        optimizer="adamw", weight_decay=0.05, inner_lr=5e-5, metric="cosine", smoothing=0.1,
        pairs=CLASS_MATCHED,
        split="the lists spa_dl.csv, spa_val.csv, spa_test.csv, which are not in the repository",
        preprocessing=f"{SHOWN_FRAME}; mel spectrograms - (-10.59) over 85.66, and in training two "
                      "masks each of up to 15 % of the bands and 20 % of the frames")},
    "ucmkd/crema-d": {"paper": paper(n_classes=6), "script": script(
        "cremad", data={"image_folder": "Image-01-FPS", "audio_folder": "Audio-1004"},
        image="resnet18", audio="resnet18", epochs=100, teacher_epochs=100, batch_size=64, lr=1e-2,
        min_lr=1e-5, warm_up=5, optimizer="sgd", weight_decay=1e-5, inner_lr=1e-5, metric="cosine",
        smoothing=0.0, pairs="image and sound are those of one clip: the samples are paired",
        split="train.csv and test.csv of OGM-GE; no validation part is mentioned",
        preprocessing="two frames, centre crop of 224 and flip; spectrograms as they were saved")},
    "ucmkd/ave": {"paper": paper(n_classes=28), "script": script(
        "ave", data={"image_folder": "Image-01-FPS-SE", "audio_folder": "Audio-1004-SE"},
        image="vit_s_16", audio="vit_l_16", epochs=30, teacher_epochs=20, batch_size=32, lr=1e-4,
        min_lr=1e-5, warm_up=5, optimizer="adamw", weight_decay=1e-5, inner_lr=1e-5, metric="l2",
        smoothing=0.0, pairs=CLASS_MATCHED,
        split="the data set's own", preprocessing=f"{SHOWN_FRAME}; spectrograms 257 x 1,024")},
    "ucmkd/vggsound": {"paper": paper(n="about 200,000", n_classes="more than 300"), "script": {
        "data": of(f"{SCRIPT}README.md", image_folder="Image-01-FPS-SE",
                   audio_folder="Audio-1004-SE"),
        "teacher": of(f"{SCRIPT}vggsound/run.sh", module="resnet18", max_epochs=100,
                      batch_size=64, lr=1e-2),
        "student": of(f"{SCRIPT}vggsound/run.sh", module="resnet18", max_epochs=100,
                      batch_size=64, lr=1e-2) | of(
            f"{SCRIPT}vggsound/main_overlap_tag.py", optimizer=torch.optim.SGD,
            optimizer__momentum=0.9) | unknown(
            "lambda_fa", "lambda_la", "inner_lr", "metric", "label_smoothing"),
        "protocol": of(
            f"{SCRIPT}vggsound/README.md",
            split="lists of 50 classes in the form of AVE's, which are not in the repository",
            preprocessing="three frames, 224 x 224; spectrograms 257 x 1,024",
            method="this part of the repository has C2KD and no UCMKD")}},
    "ucmkd/ravdess-resnet50": {"paper": paper("-resnet50", n=1440, n_classes=8)},
    "ucmkd/crema-d-resnet50": {"paper": paper("-resnet50", n_classes=6)},
    "ucmkd/ave-vit-b": {"paper": paper("-vit-b", n_classes=28)},
    "ucmkd/ravdess-vit-b": {"paper": paper("-vit-b", n=1440, n_classes=8)},
    "ucmkd/ave-vit-l": {"paper": paper("-vit-l", n_classes=28)},
    "ucmkd/ravdess-vit-l": {"paper": paper("-vit-l", n=1440, n_classes=8)},
}
