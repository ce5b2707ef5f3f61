"""From handwritten digits to a proven program: the demonstration, in Python and with a small budget.

python examples/distil_digits.py [FOLDER]
"""

import sys
from pathlib import Path

from seamount import api


def main(folder: Path) -> None:
    report = api.run(
        None,
        ["teacher.epochs=4", "train.epochs=4", "quant.epochs=2", "lava.n_samples=2", "report.n_compared=16"],
        folder=folder,
        overwrite=True,
    )
    assert report is not None, "only torchrun's other ranks get none"
    for proof in report.proof.comparisons:
        print(f"{proof.a} = {proof.b}: {proof.spikes_differing} of {proof.spikes_compared} spikes differ")
    for rung in report.accuracy.rungs:
        print(f"{rung.stage}: {rung.accuracy.value:.2f} {rung.accuracy.unit}")
    print(f"report: {folder / 'report.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
