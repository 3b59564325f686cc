"""From a file of real data to a report, a score, and a prediction for every row.

    python examples/end_to_end.py FOLDER OUT [NAME ...] [--budget 5m]

FOLDER holds what ``examples/real_data.py`` makes; a data set that is not there is left out. Each is compared within the
budget and its report is drawn. Then the recommended model scores the test rows again, and writes the class and the
probabilities of every row beside its other columns.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from selfpretrain import compare, load_model
from selfpretrain.config import TaskConfig
from selfpretrain.machine import cores
from selfpretrain.report.write import write_report
from selfpretrain.use.evaluate import evaluate_file
from selfpretrain.use.predict import predict_file
from selfpretrain.watch import Watcher

EXAMPLES = {
    "smartwatch": TaskConfig(data="smartwatch.npz"),
    "appliances": TaskConfig(data="PLAID_TRAIN.ts", test=Path("PLAID_TEST.ts")),
    "leaves": TaskConfig(data="OSULeaf_TRAIN.ts", test=Path("OSULeaf_TEST.ts")),
    "vowels": TaskConfig(data="vowels.jsonl"),
    "splice": TaskConfig(data="splice.csv"),
    "rrna": TaskConfig(data="rrna.csv"),
    "words": TaskConfig(data="words.csv"),
    "clothing": TaskConfig(data="fashion.npz"),
    "spectra": TaskConfig(data="collagen.csv"),
    "pole": TaskConfig(data="cartpole.npz"),
}


def run(name: str, folder: Path, out: Path, budget: str) -> None:
    """One data set, from its file to predictions."""
    config = EXAMPLES[name]
    config = replace(config, data=str(folder / config.data), test=config.test and folder / config.test)
    with Watcher(Console(stderr=True)) as watch:
        comparison = compare(config, out=out / name, budget=budget, workers=cores(), watch=watch)
    model, new = load_model(comparison.folder), config.test or Path(config.data)
    scored = out / f"{name}-scored.csv"
    accuracy = evaluate_file(model, new, folder=comparison.folder).scores["accuracy"]
    rows = predict_file(model, new, scored, overwrite=True).rows
    verdict = comparison.answer.verdict
    print(f"{name}: {verdict.answer} {verdict.advice}")
    print(f"  accuracy on test rows {accuracy:.3f}; {scored}: {rows} rows; report: {write_report(comparison.folder)}")


def main() -> None:
    """Run the examples that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=list(EXAMPLES), metavar="NAME")
    parser.add_argument("--budget", default="5m")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        if name not in EXAMPLES:
            parser.error(f"no example is called {name}; they are {', '.join(EXAMPLES)}")
        if (asked.folder / EXAMPLES[name].data).is_file():
            run(name, asked.folder, asked.out, asked.budget)
        else:
            print(f"{name}: left out, {asked.folder / EXAMPLES[name].data} is not there")


if __name__ == "__main__":
    main()
