"""Xie et al., "Information-Theoretic Criteria for Knowledge Distillation in Multimodal Learning".

No code of theirs is known here. The text at hand has lost some formulas, and with them numbers: the
values of gamma, of the weights in Figure 4, the layers' widths of Tables 14 and 18.
"""

import torch

from cmkdlearn.presets._values import of, unknown

LATENTMI = "lmi"
TABLE_17 = "Table 17, headed \"BRCA, LIHC\", of \"the three cancer cohorts\""
SHARED = of("section 4", networks="one architecture for teacher and student")


def mutual_information(n_repeats, place):
    """Return what is printed of the estimates: on whole representations, so many runs."""
    return of(place, mi_estimator=LATENTMI, n_repeats=n_repeats) | of(
        "section 3", criterion="cch") | of(
        "section 4.1: between representations, of which no reduction is mentioned",
        n_components=None) | unknown("representation", "cv")


def distilled(training, place, temperature):
    """Return the student's part: the network's training, and equation 2."""
    return training | of(place, temperature=temperature, alpha=0.5) | of("equation 2", loss="kd")


def training(place, *, layers, optimizer, lr, max_epochs, **others):
    """Return a network's training; batches are printed nowhere."""
    return of(place, optimizer=optimizer, lr=lr, max_epochs=max_epochs, **others) | layers \
        | unknown("batch_size", "optimizer__weight_decay")


FULLY_CONNECTED = of("Table 9", module="auto", module__hidden=(64,), module__activation="relu")
ENCODERS = of("Table 18 and Appendix E", module="auto", module__hidden=(64,),
              module__activation="relu", module__batch_norm=True) | unknown("module__dropout")


def omics(classes, fusion=None):
    """Return the protocol of Tables 5 to 7, and a fusion's (table, learning rate, temperature)."""
    network = training(TABLE_17, layers=FULLY_CONNECTED, optimizer=torch.optim.Adam, lr=0.01,
                       max_epochs=200)
    parts = {
        "data": unknown("subtypes", "label"),
        "network": network,
        "student": distilled(network, TABLE_17, 2.0),
        "selector": mutual_information(5, "section 4.4"),
        "protocol": SHARED | of("Table 16", classes=classes) | of(
            "section 4.4", features="the 100 best of each modality by mRMR",
            modalities=("mrna", "cnv", "rppa"), samples="complete cases", teacher="mrna",
            student="cnv", runs=5, measure="weighted F1",
            noise="zero-mean Gaussian, added to the teacher's input") | of(
            "Tables 5 to 7", noise_levels=(0.0, 0.2, 0.4, 0.6, 0.8)) | of(
            TABLE_17, test_size=0.1) | unknown("noise_scale"),
    }
    if fusion:
        place, lr, temperature = fusion
        parts["fusion"] = training(place, layers=ENCODERS, optimizer=torch.optim.Adam, lr=lr,
                                   max_epochs=200) | of(place, temperature=temperature, alpha=0.5)
        parts["protocol"] |= of(place, fusion_test_size=0.1) | unknown("fusion_loss")
    return {"paper": parts}


SYNTHETIC = training("Table 10", layers=FULLY_CONNECTED, optimizer=torch.optim.Adam, lr=0.01,
                     max_epochs=300)
DIGITS = training(
    "Table 12", optimizer=torch.optim.SGD, lr=0.002, max_epochs=100,
    layers=of("Table 11", module="auto", module__hidden=(1024, 256),
              module__activation="leaky_relu"))
MOSEI = training(
    "Table 15", optimizer=torch.optim.AdamW, lr=0.0005, max_epochs=100, schedule="cosine",
    layers=of("Table 14", module="auto", module__activation="relu", module__batch_norm=True)
    | unknown("module__hidden", "module__dropout"))

CCH = {
    "cch/synthetic": {"paper": {
        "data": of("Table 10: 10,000 and 5,000", n=15000) | of("Table 9: inputs", d=100)
        | of("section 4.1: a scalar", n_targets=1)
        | unknown("rho_ts", "rho_ty", "rho_sy"),
        "network": SYNTHETIC,
        "student": SYNTHETIC | unknown("lambda_kd"),
        "protocol": SHARED | of("Table 10", n_train=10000, n_test=5000) | of(
            "section 4.1", runs=10, measure="mean squared error", mi_estimator=LATENTMI)
        | unknown("weights")}},
    "cch/mnist-m": {"paper": {
        "data": unknown("gamma"),
        "network": DIGITS,
        "student": distilled(DIGITS, "Table 12", 3.0),
        "selector": mutual_information(5, "section 4.2"),
        "protocol": SHARED | of("Table 12", n_train=60000, n_test=10000) | of(
            "section 4.2", teacher="MNIST", student="MNIST-M", runs=5) | of(
            "Tables 1 and 13", blur=(0.0, 0.5, 1.5, 2.5, 3.5)) | of(
            "Appendix C", digits="binarised by a threshold, in three channels",
            backgrounds="random patches of BSDS500, made grey",
            scale="0.5 CE + 0.5 T^2 KL at this learning rate, as alpha=0.5 has it")
        | unknown("threshold", "temperatures")}},
    "cch/mosei": {"paper": {
        "data": unknown("neutral"),
        "network": MOSEI,
        "student": distilled(MOSEI, "Table 15", 4.5),
        "selector": mutual_information(50, "section 4.3"),
        "protocol": SHARED | of("Table 15", train_size=0.7, validation_size=0.1, test_size=0.2,
                       schedule="CosineAnnealingLR over the epochs; its least rate is lost") | of(
            "section 4.3", n=23453, labels="binary sentiment", teacher="text",
            students=("vision", "audio"), mi_estimators=(LATENTMI, "mine", "ksg")) | of(
            "Table 4", noise_levels=(0.0, 0.2, 0.4, 0.6, 0.8)) | unknown("runs")}},
    "cch/brca": omics({"Normal-like": 44, "Basal-like": 129, "HER2-enriched": 49, "Luminal A": 338,
                       "Luminal B": 267},
                      fusion=("Table 21, headed MNIST / MNIST-M by mistake", 0.04, 4.0)),
    "cch/kipan": omics({"KICH": 63, "KIRC": 492, "KIRP": 212}, fusion=("Table 19", 0.007, 1.0)),
    "cch/lihc": omics({"Blast-Like": 39, "CHOL-Like": 18, "Liver-Like": 113}),
}
