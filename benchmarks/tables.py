"""Tables of the documentation, made from the JSON in docs/results.

``python -m benchmarks.tables`` writes each beside its JSON.
"""

import json

from benchmarks._report import FOLDER


def wordnet_students(report):
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
    return _csv_table(head, rows) + (
        f"\nFashion-MNIST, {report['train']:,} training and {report['test']:,} test images, mean ± "
        f"standard deviation of {n} seeds; gain over no teacher with the 95 % interval of the "
        f"paired differences. Teachers' accuracies are those with all labels. Settings tried: "
        f"{report['settings_tried']}. Measured by ``benchmarks/wordnet_students.py`` on "
        f"{report['device']}.\n")


def _student(name, cell):
    low, high = cell["interval"]
    gain = "" if name == "no teacher" else f"{cell['gain']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return [f"{cell['mean']:.3f} ± {cell['sd']:.3f}", gain]


def _csv_table(head, rows):
    lines = [".. csv-table::", "   :header: " + ", ".join(f'"{cell}"' for cell in head), ""]
    lines += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in rows]
    return "\n".join(lines) + "\n"


def main():
    for table in (wordnet_students,):
        report = json.loads((FOLDER / f"{table.__name__}.json").read_text())
        (FOLDER / f"{table.__name__}.inc").write_text(table(report))


if __name__ == "__main__":
    main()
