"""The claims of the papers, each on made-up and on real data."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from selfpretrain.config import TaskConfig
from selfpretrain.explain.cells import NOISE, alone
from selfpretrain.studies.builtin import LOOK, TRICKS, always_new, study
from selfpretrain.studies.claims import Ahead, Blind, Claim, LooksNear, Recovers
from selfpretrain.studies.study import Case, Ground, changed, times

PIXELS = "mnist-pixels-labelled"
QUERY_KEY, REST = alone("query-key").name, "spt.all-but-query-key.free"
DIAGNOSIS = replace(LOOK, cells=(QUERY_KEY, REST, NOISE.name))
SEEDS = 5
"""On the small tasks, so that claims over seeds alone can be decided; on the pixels three, for the time (ours)."""


def _beats(data: str, words: str, case: str = "all", against: str = "scratch") -> Claim:
    text = f"On {data} self-pretraining beats {words}"
    return Ahead(text=text, family=data, case=f"data-{data}-with-{case}", against=against)


def _about(data: str, small: str, without: Collection[str] = ()) -> list[Claim]:
    """Every claim on a data set but the gain itself, in the order of the papers; corrected together.

    Args:
        small: what "a very small scale" is there.
        without: arms and cases that the data set does not have.
    """
    whole: dict[str, Any] = {"family": data, "case": f"data-{data}-with-all"}
    claims: dict[str, Claim] = {
        "scratch-long": _beats(data, "scratch at equal total compute", against="scratch-long"),
        "small-model": _beats(data, f"scratch with {small}", "small-model"),
        "new-sequences": _beats(data, "scratch where no sequence is seen twice", "new-sequences"),
        "train": Ahead(
            text=f"On {data} self-pretraining fits the training labels better than scratch", split="train", **whole
        ),
        **{trick: _beats(data, words, against=trick) for trick, words in TRICKS.items()},
        "alone": Recovers(text=f"On {data} query-key weights alone recover the gain", cell=QUERY_KEY, **whole),
        "rest": Recovers(
            text=f"On {data} everything but query-key does not recover it", cell=REST, fails=True, **whole
        ),
        "noise": Recovers(text=f"On {data} query-key noise does not recover it", cell=NOISE.name, fails=True, **whole),
        "near": LooksNear(text=f"On {data} query-key holds a preference for near positions", **whole),
        "blind": Blind(text=f"On {data} the label is blind to query-key weights at the start", **whole),
        "little-spt": _beats(data, "scratch with a quarter of its steps", "little-spt"),
        "larger-model": _beats(data, "scratch in a larger model", "larger-model"),
    }
    return [claim for name, claim in claims.items() if name not in without]


NOT_WITH_PIXELS = ("scratch-long", "new-sequences", "cutmix", "smoothing", "larger-model")


@study(
    name="paper",
    question="Which claims of the papers on self-pretraining hold on synthetic and on real data?",
    expected="All of them on proximity; on images the gain, and that labels alone are stuck; on short series neither.",
    minutes=85,
    claims=[
        *(
            _beats(data, "scratch at equal label compute")
            for data in ("proximity", PIXELS, "digits", "splice", "vowels")
        ),
        *_about("proximity", "one layer of width 16"),
        *_about(PIXELS, "one layer of width 32", NOT_WITH_PIXELS),
        *_about("digits", "one layer of width 16", ("new-sequences",)),
    ],
)
def _paper(ground: Ground) -> list[Case]:
    config = replace(ground.config, seeds=max(SEEDS, ground.config.seeds))
    whole = replace(config, arms=("scratch", "spt", "scratch-long", *TRICKS))
    larger = changed(config, "model", depth=2 * config.model.depth, width=2 * config.model.width)
    cases = []
    for data, task in (("proximity", ground.task), ("digits", TaskConfig(data="digits"))):
        cases += [
            Case({"data": data, "with": "all"}, whole, task, diagnosis=DIAGNOSIS),
            Case({"data": data, "with": "small-model"}, changed(config, "model", depth=1, width=16), task),
            Case({"data": data, "with": "larger-model"}, larger, task),
            Case({"data": data, "with": "little-spt"}, times(config, "pretrain", 1 / 4), task),
        ]
    cases.append(Case({"data": "proximity", "with": "new-sequences"}, config, always_new(ground)))
    pixels = changed(ground.config, "model", depth=2, width=64)
    pixels = changed(pixels, "pretrain", duration="1500steps")
    pixels = changed(pixels, "label", duration="500steps")
    if ground.profile == "small":  # one rate for every arm: there is no time for more on two cores
        pixels = changed(pixels, "train", lr=(1e-3,))
    few_arms = replace(pixels, arms=("scratch", "spt", "augment"))
    return [
        *cases,
        ground.real(f"{PIXELS}.npz", few_arms, {"with": "all"}, DIAGNOSIS),
        ground.real(f"{PIXELS}.npz", changed(pixels, "model", depth=1, width=32), {"with": "small-model"}),
        ground.real(f"{PIXELS}.npz", times(pixels, "pretrain", 1 / 4), {"with": "little-spt"}),
        *(ground.real(file, ground.config, {"with": "all"}) for file in ("splice.csv", "vowels.jsonl")),
    ]
