"""Tables of the documentation, made from the JSON in docs/results.

``python -m benchmarks.tables`` writes each beside its JSON.
"""

import json

from benchmarks._report import FOLDER, ratio
from benchmarks.wordnet_students import paired


def wordnet_students():
    report = _read("wordnet_students")
    head = ["teacher", "shown text", "label-free", "student, all labels", "gain",
            "student, one in six", "gain"]
    rows = []
    every, few = report["results"]["all labels"], report["results"]["one in six"]
    for name in every:
        row = [name]
        row += [f"{every[name][key]:.3f}" if key in every[name] else "" for key in head[1:3]]
        for cells in (every, few):
            cell = cells.get(name)
            row += _student(name, cell) if cell else ["refused", ""]
        rows.append(row)
    n = len(report["seeds"])
    controls = [[f"relaxed 100 % minus {name}"] + [
        _interval(*paired(cells["relaxed 100 %"]["student"], cells[name]["student"]))
        for cells in (every, few)] for name in ("image alone", "noise 100 %")]
    return _csv_table(head, rows) + "\n" + _csv_table(["control", *report["results"]], controls) + (
        f"\nFashion-MNIST, {report['train']:,} training and {report['test']:,} test images, mean ± "
        f"standard deviation of {n} seeds; gain over no teacher with the 95 % interval of the "
        f"paired differences. Teachers' accuracies are those with all labels. Measured by "
        f"``benchmarks/wordnet_students.py`` on {report['device']}.\n")


def speed():
    """Every target without a rival: what it is measured in, its value, the floor, met or not."""
    epoch, grid, embedding, nouns, losses, unpaired, large, processes = (
        _read(name) for name in ("epoch", "grid_search", "embedding", "noun_selection", "losses",
                                 "unpaired_speed", "large_data", "processes"))
    slack = losses["milliseconds"]["kd"] / losses["floor_milliseconds"]["kd"]
    ratios_of_losses = {**losses["logit_losses_to_kd"], "wkd": losses["others_to_kd"]["wkd"]}
    rows = [
        _ratio_row("an epoch, in units of a hand-written loop's", epoch["ours_to_by_hand"], 1.1),
        _ratio_row("the same with skorch's default loader", epoch["skorch_to_by_hand"]),
        _number_row("embedding, in units of a bare loop over the network",
                    embedding["throughput"]["ratio_to_bare_loop"], "{:.2f}", most=1.05),
        _number_row("embedding against finding it in the cache",
                    embedding["cache"]["times_faster"], "{:,.0f} times", least=100),
        *[_number_row(f"grid search of {result['candidates']} candidates without memory against "
                      f"with it, {name}", result["speedup"], "{:.1f} times", least=result["target"])
          for name, result in grid["results"].items()],
        _number_row("choosing among 117,798 nouns, memory beyond the input",
                    nouns["mebibytes"]["beyond inputs"], "{:,.0f} MiB", most=1024),
        *_epochs_of_ucmkd(unpaired),
        _number_row("memory of a UCMKD step, in units of cross-entropy's",
                    unpaired["mebibytes_of_a_step"]["ratio"], "{:.2f}", most=2.5),
        *[_ratio_row(f"loss {name} with its gradient, 256 x 1,000, in units of kd", ratios, 1.5,
                     losses["floors_to_kd"].get(name))
          for name, ratios in ratios_of_losses.items()],
        _number_row("largest tensor of rkd at a batch of 256",
                    losses["rkd_largest_tensor_mebibytes"], "{:.0f} MiB", most=64),
        _number_row(f"fit on {large['gigabytes']:.0f} GB that are mapped into memory, memory "
                    "beyond the model", large["mebibytes"]["beyond the model"], "{:,.0f} MiB",
                    most=large["target_mebibytes_beyond_the_model"]),
        _number_row("two processes by Accelerate, efficiency", processes["efficiency"], "{:.2f}",
                    least=processes["target_efficiency"]),
    ]
    return _csv_table(["what", "measured", "floor", "target", ""], rows) + (
        f"\nMeasured on {epoch['device']}, one thread (embedding: as many as torch takes); ratios "
        "within one run, median and range of the rounds. The floor of a loss: the softmaxes, "
        "exponentials, sums and products that it "
        f"cannot do without, in units of those of kd, which takes {slack:.1f} times its own; of "
        "UCMKD's epoch: as many passes forward and back as Algorithm 1 has.\n")


def _epochs_of_ucmkd(unpaired):
    """Rows of UCMKD's epochs: three passes forward and back, or two and a head's."""
    return [_ratio_row(f"an epoch of UCMKD, {method}, {network}, in units of cross-entropy's",
                       found["to cross-entropy"][method], target, floor)
            for network, found in unpaired["epoch"].items()
            for method, target, floor in (("bi-level", 3.2, 3),
                                          ("bi-level, label step on the head", 2.3, 2))]


def rivals():
    """Each hot path beside its strongest rival: times, ratios, the floor, met or not."""
    one, two, unpaired, neighbours, latentmi, losses, floor = (
        _read(name) for name in ("rivals-1", "rivals-2", "unpaired_speed", "neighbours",
                                 "latentmi", "losses", "floors"))
    versions = one["rivals"]
    by_hand, skorch = "a plain loop in PyTorch", f"skorch {versions['skorch']}, ``fit``"
    sklearn = f"scikit-learn {versions['scikit-learn']}, ``MLPClassifier.fit``"
    rows = [*_alignments(unpaired, floor),
            _beside("an epoch of an MLP 512-256-10, cross-entropy", skorch, one["skorch"], 1.1,
                    two["skorch"]),
            _beside("an epoch of UCMKD on an MLP 512-256-10", "a plain loop: a copy of the network "
                    f"in each step, inner AdamW, POT {versions['pot']}", one["ucmkd"], 1.1,
                    two["ucmkd"])]
    for loss, views in one["distillation"].items():
        rows += [_beside(f"an epoch of ResNet-18 at 32 x 32, {loss}; {view}", by_hand, ratios, 1.1,
                         two["distillation"][loss][view]) for view, ratios in views.items()]
    for name, cell in one["small"].items():
        rows.append(_beside(f"``fit`` on {name}, {cell['steps']} steps", sklearn,
                            cell["fit to MLPClassifier"], 1.5,
                            two["small"][name]["fit to MLPClassifier"]))
        rows.append(_beside(f"no ``fit`` but a bare loop in PyTorch on {name}", sklearn,
                            cell["a bare torch loop to MLPClassifier"], None,
                            two["small"][name]["a bare torch loop to MLPClassifier"]))
    trees = {**neighbours["ours_to_trees"], "floor": floor["paths"][
        "mutual_information by ksg, 10,000 x (8 + 8)"]["seconds at best"]}
    rows.append(_beside("mutual information by neighbours, 10,000 x (8 + 8)",
                        f"trees of SciPy {neighbours['scipy']}, ``cKDTree.query(workers=-1)``",
                        trees, 1, trees))
    rows[-1][3] = ""
    large = neighbours["seconds"]["100000"]
    rows.append(["the same, 100,000, two threads", _seconds(large), "", "", "", "",
                 *_target(large, most=20)])
    ours, theirs = (latentmi["seconds"][name] for name in ("ours", "latentmi"))
    off, off_theirs = (latentmi["mean_absolute_error"][name] for name in ("ours", "latentmi"))
    rows.append([f"mutual information, hidden pairs of columns, {off:.2f} nats off", _seconds(ours),
                 f"``latentmi.lmi.estimate``, {off_theirs:.2f} nats off: {_seconds(theirs)}",
                 f"{ours / theirs:.2f}", "", "", *_target(ours / theirs, most=0.1)])
    wkd = losses["ours_to_wkd_by_autograd"]
    rows.append(_beside("loss wkd with its gradient, 256 x 1,000", "autograd through as many "
                        "iterations, in single precision, to the same value", wkd, 1, None))
    imports = one["import_beyond_torch"]
    rows.append(["importing ``cmkdlearn.students``, beyond torch", _seconds(imports["ours"]),
                 f"scikit-learn and skorch alone: {_seconds(imports['scikit-learn and skorch'])}",
                 "", "", "", *_target(imports["ours"], most=0.3)])
    single = max(cell["milliseconds of predict of one row"] for report in (one, two)
                 for cell in report["small"].values())
    rows.append(["``predict`` of one row, milliseconds", f"{single:.2f} ms", "", "", "", "",
                 *_target(single, most=2)])
    rows = [[*row, f"{target}: {met}" if target else ""] for *row, target, met in rows]
    return _csv_table(["what", "ours", "the rival, at its best", "ours in its units, one thread",
                       "two threads", "floor", "target"], rows) + (
        f"\nOn {one['device']}: median and range of the rounds of one run, one thread where "
        "nothing else is said. The loops have torch's defaults. Floor, with one thread: the "
        "arithmetic, or the bytes, at the rate of a large matrix product, or of a copy, on that "
        "machine.\n")


def _alignments(unpaired, floor):
    """Rows of feature alignment: each size at the epsilon that is the least favourable to us."""
    for size, found in unpaired["feature_alignment"].items():
        best = floor["paths"][f"feature_alignment with gradient, {size}"]["seconds at best"]
        for rival in ("pot at equal error", "pot"):
            key = f"ours to {rival}"
            relative = max(found, key=lambda relative: found[relative][key]["median"])  # noqa: B023
            cell = found[relative]
            tol = cell["pot's tol at equal error"] if rival != "pot" else 0.01
            said = "" if rival != "pot" else (
                f", which misses {100 * cell['mass that pot misses']:.2g} % of the mass")
            yield _beside(f"feature alignment with its gradient, {size}, at ε = {relative} of the "
                          "mean cost, the worst of four",
                          f"POT {unpaired['pot']}, ``ot.solve(C, reg=ε, tol={tol:g}, "
                          f"grad='envelope')``{said}", {**cell[key], "floor": best}, 1, None)


def _beside(what, rival, ratios, most, with_two):
    ours, theirs = ratios["seconds"]
    least = _seconds(ratios["floor"]) if "floor" in ratios else ""
    row = _ratio_row(what, ratios, most)
    return [what, _seconds(ours), f"{rival}: {_seconds(theirs)}", row[1],
            _range(with_two) if with_two else "", least, *row[3:]]


def _ratio_row(what, ratios, most=None, floor=None):
    row = _number_row(what, ratios["median"], "{:.2f}", most=most)
    row[1], row[2] = _range(ratios), "" if floor is None else f"{floor:.1f}"
    return row


def _number_row(what, value, form, most=None, least=None):
    """Return what, the value, no floor, the target, and whether it is met."""
    return [what, form.format(value), "", *_target(value, most, least)]


def _target(value, most=None, least=None):
    """Return the target, and whether it is met; twice nothing where there is none."""
    limit, word = (most, "at most") if least is None else (least, "at least")
    if limit is None:
        return ["", ""]
    met = value <= limit if least is None else value >= limit
    return [f"{word} {limit:,}", "met" if met else "**missed**"]


def floors():
    report = _read("floors")
    return _csv_table(["what", "at best", "bound by", "measured", "times the floor"], [
        [name, _seconds(path["seconds at best"]), path["bound by"], _seconds(path["seconds"]),
         f"{path['times the floor']:.1f}"] for name, path in report["paths"].items()]) + (
        f"\nOn {report['device']}, one thread: {report['operations_a_second'] / 1e9:.0f} billion "
        f"operations and {report['bytes_a_second'] / 1e9:.1f} GB a second, measured by "
        "``benchmarks/floors.py``.\n")


def growth():
    report = _read("growth")
    rows = []
    for name, curve in report["curves"].items():
        points = curve["points"]
        rows.append([name, *(" → ".join(form(point[key]) for point in (points[0], points[-1]))
                             for key, form in (("size", "{:,}".format), ("seconds", _seconds),
                                               ("mebibytes", "{:.0f} MiB".format))),
                     f"{curve['exponent']:.2f}"])
    return _csv_table(["what", "size", "time", "memory beyond before", "exponent"], rows) + (
        f"\nSmallest and largest of three to four sizes; one process each, on {report['device']}. "
        "Measured by ``benchmarks/growth.py``.\n")


def _seconds(value):
    return f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.2f} ms"


def how_long():
    """What a sample and epoch cost, for a user to multiply."""
    report = _read("how_long")
    rows = [[name, *(_of_a_sample(value) for value in cost.values()),
             _duration(1e4 * 20 * cost["a fitted teacher"] / 1e6)]
            for name, cost in report["microseconds"].items()]
    return _csv_table(["input and network", *next(iter(report["microseconds"].values())),
                       "10,000 samples, 20 epochs, a fitted teacher"], rows) + (
        f"\nA sample and epoch (of ``predict``: a sample) on {report['device']}, one thread, "
        f"batches of {report['batch_size']}. Measured by ``benchmarks/how_long.py``.\n")


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _of_a_sample(microseconds):
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def unpaired_speed():
    report = _read("unpaired_speed")
    rows = [[f"epoch of {network}, {method}, in units of cross-entropy's", _range(cost), target]
            for network, epoch in report["epoch"].items()
            for method, cost in epoch["to cross-entropy"].items()
            for target in [_at_most(report["targets"].get(method))]]
    rows += [[f"FA and its gradient at {size}, ε {relative} of the mean cost, in units of {name}",
              _range(cell[f"ours to {rival}"]), "at most 1"]
             for size, found in report["feature_alignment"].items()
             for relative, cell in found.items()
             for rival, name in (
                 ("pot", f"POT's, which misses {100 * cell['mass that pot misses']:.2g} % of the "
                  "mass"), ("pot at equal error", "POT's at equal error"))]
    rows.append(["memory of a step, in units of cross-entropy's",
                 f"{report['mebibytes_of_a_step']['ratio']:.2f}",
                 _at_most(report["targets"]["memory"])])
    return _csv_table(["what", "measured", "target"], rows) + (
        f"\nPOT {report['pot']} as ``{report['pot_call']}``. Measured by "
        f"``benchmarks/unpaired_speed.py`` on {report['device']}; median and range of the "
        "rounds.\n")


def cch_pairs():
    report = _read("cch_pairs")
    n, clear = report["n_pairs"], report["n_clear"]
    rows = [[f"``{name}``" if name != "stronger_modality" else "the more accurate modality teaches",
             f"{rule['right_of_clear']} of {clear}", f"{rule['right_of_all']} of {n}",
             f"{rule['predicts_gain']} of {n}", f"{rule['spearman_with_gain']:+.2f}",
             f"{rule['mean_gain_of_the_teacher_ranked_first']:+.4f}"]
            for name, rule in report["rules"].items()]
    rows.append(["never distil", f"{clear - report['n_clear_gains']} of {clear}",
                 f"{sum(pair['mean'] < 0 for pair in report['gain'].values())} of {n}", f"0 of {n}",
                 "", "+0.0000"])
    return _csv_table(["rule", "right where clear", "right of all", "says yes", "rank correlation",
                       "gain of its first choice"], rows) + (
        f"\nAll ordered pairs of six views of UCI's multiple features, {report['n_train']} "
        f"training samples, the mean of {report['seeds']} draws. The gain is clear of noise "
        f"(p < 0.05) in {clear} pairs, and positive in {report['n_clear_gains']} of these. The "
        "best teacher of each view, known afterwards, would gain "
        f"{report['best_possible_mean_gain']:+.4f} in accuracy on average. Measured by "
        f"``benchmarks/cch_pairs.py`` on {report['device']}.\n")


def cch_calibration():
    """Where each rule's zero is, by columns and samples, and what its intervals are worth."""
    report = _read("cch_calibration")
    cells = report["zeros"]
    rules = list(dict.fromkeys(cell["rule"] for cell in cells))
    rows, off = [], {rule: [] for rule in rules}
    for columns, n in dict.fromkeys((cell["columns"], cell["n"]) for cell in cells):
        row = [columns, f"{n:,}"]
        for rule in rules:
            at = {gap: [sum(draw[0] for draw in cell["draws"]) / len(cell["draws"])
                        for cell in cells if (cell["columns"], cell["n"], cell["rule"],
                                              cell["gap"]) == (columns, n, rule, gap)]
                  for gap in (0.0, 0.4)}
            mean = sum(at[0.0]) / len(at[0.0])
            off[rule] += map(abs, at[0.0])
            row += [f"{mean:+.2f} [{min(at[0.0]):+.2f}, {max(at[0.0]):+.2f}]",
                    f"{sum(value > 0 for value in at[0.4])} of {len(at[0.4])}"]
        rows.append(row)
    head = ["columns", "samples", *(
        text for rule in rules for text in (f"{rule}: gap 0 found as", "gap 0.4 found positive"))]
    widths = [[f"{found['kind']}, {found['classes']} classes, {found['columns']} columns, "
               f"{found['n']} samples", found["rule"], f"{found['half_width_in_sd']:.1f}",
               f"{found['held']} of {report['draws_of_intervals']}"]
              for found in report["intervals"]]
    return _csv_table(head, rows) + (
        "\nMean and range over six kinds of classes, of true gaps of 0 and 0.4 nats. Zero is out "
        "of place by " + ", ".join(f"{sum(found) / len(found):.2f} ({rule})"
                                for rule, found in off.items())
        + " nats on average.\n\n") \
        + _csv_table(["data", "rule", "half-width, in standard deviations", "held the mean"],
                     widths) + (
        f"\nMeasured by ``benchmarks/cch_calibration.py`` on {report['device']}.\n")


def information():
    report = _read("information")
    tasks = {part: report[part] for part in ("tuning", "held_out")}
    errors = report["mean_absolute_error"]
    rows = []
    for name in errors["held_out"]:
        seconds = [cells[name]["seconds"] for part in tasks.values() for cells in part.values()]
        rows.append([name, *[f"{errors[part][name][key]:.2f}" for part in ("held_out", "tuning")
                             for key in ("mean", "max")], f"{sum(seconds) / len(seconds):.1f}"])
    hidden = [[name, f"{found['truth']:.2f}", f"{found['estimate']:.2f} ± {found['std_error']:.2f}",
               f"{found['seconds']:.1f}"]
              for name, found in report["latent_in_many_columns"].items()]
    errors_table = _csv_table(["estimator", "held out: mean", "greatest", "tuning: mean",
                               "greatest", "seconds a task"], rows)
    hidden_table = _csv_table(["'latent': correlated pairs hidden in columns", "truth",
                               "estimate", "seconds"], hidden)
    return (f"{errors_table}\nAbsolute error in nats at n = {report['samples']:,}, over "
            f"{len(tasks['held_out'])} tasks that were held out and {len(tasks['tuning'])} that "
            f"'auto' was tuned on.\n\n{hidden_table}\nMeasured by ``benchmarks/information.py`` on "
            f"{report['device']}, one thread, beside other work.\n")


def toy_sets():
    """The defaults on scikit-learn's toy sets, and the settings that they were chosen from."""
    report, tuning = _read("toy_sets"), _read("toy_sets_tuning")
    rows = []
    for name, kinds in report["results"].items():
        for kind, cells in kinds.items():
            theirs = cells["MLPClassifier"]
            row = [f"{name}, {kind}"]
            row += [f"{cell['mean']:.3f} ± {cell['std_error']:.3f}" for cell in cells.values()]
            row += [f"{cells[ours]['seconds'] / theirs['seconds']:.2f}"
                    for ours in ("UnimodalTeacher", "MultiTeacherDistiller")]
            rows.append(row)
    head = ["data", *(f"``{kind}``" for kind in cells), "teacher's time, in units of the MLP's",
            "student's"]
    chosen = [[name, f"{found['as accurate']} of {tuning['sets']}",
               f"{found['mean difference']:+.3f}", f"{found['times the time']['median']:.2f}",
               f"{found['times the time']['max']:.2f}"]
              for name, found in tuning["summary"].items()]
    return _csv_table(head, rows) + (
        "\nAccuracy by default, mean ± standard error of five times two folds, and time of ``fit`` "
        "on one thread. The defaults of ``max_epochs`` and ``batch_size`` were chosen from "
        f"{len(chosen)} settings on {tuning['sets']} other sets, of which the MLP read "
        "standardised columns:\n\n") + _csv_table(
        ["setting", "within a standard error of the MLP, or better", "mean difference",
         "median time, in units of the MLP's", "greatest"], chosen) + (
        f"\nMeasured by ``benchmarks/toy_sets.py`` on {report['device']}.\n")


def mutation():
    """Mutants of each part, and those that no test notices (``tools/mutate.py``)."""
    parts = _read("mutation")
    rows = [[f"``{name}``", f"{part['mutants']:,}", part["tried"], part["killed"] + part["hung"],
             len(part["survived"])] for name, part in parts.items()]
    left = [[f"``{one['file'].removeprefix('cmkdlearn/')}:{one['line']}``",
             f"``{one['from']}``", f"``{one['to']}``", one["reason"]]
            for part in parts.values() for one in part["survived"]]
    seeds = ", ".join(sorted({str(part["seed"]) for part in parts.values()}))
    text = _csv_table(["part", "mutants", "tried", "killed", "left"], rows) + (
        f"\nThose that were tried were drawn at random (seed {seeds}).\n")
    if left:
        text += "\nWhat is left, and why:\n\n"
        text += _csv_table(["where", "code", "mutant", "why"], left)
    return text


def gpu():
    """What was measured on a GPU, all by the scripts that are run on the CPU."""
    epoch, unpaired, losses, neighbours = (
        _read(f"{name}-gpu") for name in ("epoch", "unpaired_speed", "losses", "neighbours"))
    rows = [
        _ratio_row("an epoch, in units of a hand-written loop's", epoch["ours_to_by_hand"], 1.1),
        _ratio_row("the same with skorch's default loader", epoch["skorch_to_by_hand"]),
        *_epochs_of_ucmkd(unpaired),
        _number_row("memory of a UCMKD step, in units of cross-entropy's",
                    unpaired["mebibytes_of_a_step"]["ratio"], "{:.2f}", most=2.5),
        *[_ratio_row(f"feature alignment with its gradient, {size}, ε {relative} of the mean cost, "
                     f"in units of {name}", ratio(cell["seconds"], "ours", rival), 1)
          for size, found in unpaired["feature_alignment"].items()
          for relative, cell in found.items()
          for rival, name in (("pot at equal error", "POT's at equal error"),
                              ("pot", "POT's at its own tolerance"))
          if rival in cell["seconds"]],
        *[_ratio_row(f"loss {name} with its gradient, 256 x 1,000, in units of kd "
                     f"({losses['milliseconds']['kd']:.2f} ms)", ratios, 1.5)
          for name, ratios in {**losses["logit_losses_to_kd"],
                               "wkd": losses["others_to_kd"]["wkd"]}.items()],
        *[_number_row(f"mutual information by neighbours, {int(n):,} x (8 + 8)", seconds,
                      "{:.2f} s")
          for n, seconds in neighbours["seconds"].items()],
        _ratio_row(f"the same, 10,000, in units of SciPy's trees on {neighbours['threads']} "
                   "threads", neighbours["ours_to_trees"], 1),
    ]
    return _csv_table(["what", "measured", "floor", "target", ""], rows) + (
        f"\nOn one {epoch['device']}, PyTorch {epoch['versions']['torch']}; ratios within one run, "
        f"median and range of the rounds. POT {unpaired['pot']}, called as on the CPU.\n")


def _range(ratios):
    return f"{ratios['median']:.2f} [{ratios['min']:.2f}, {ratios['max']:.2f}]"


def _at_most(target):
    return "" if target is None else f"at most {target}"


def _read(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def _student(name, cell):
    gain = "" if name == "no teacher" else _interval(cell["gain"], cell["interval"])
    return [f"{cell['mean']:.3f} ± {cell['sd']:.3f}", gain]


def _interval(mean, interval):
    return f"{mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def _csv_table(head, rows):
    lines = [".. csv-table::", "   :header: " + ", ".join(f'"{cell}"' for cell in head), ""]
    lines += ["   " + ", ".join('"{}"'.format(str(cell).replace('"', '""')) for cell in row)
              for row in rows]
    return "\n".join(lines) + "\n"


def main():
    for table in (wordnet_students, speed, how_long, rivals, floors, growth, unpaired_speed,
                  cch_pairs, cch_calibration, information, toy_sets, mutation, gpu):
        (FOLDER / f"{table.__name__}.inc").write_text(table())


if __name__ == "__main__":
    main()
