"""The claims of the papers, each on made-up and on real data."""

from dataclasses import dataclass, replace
from typing import Any

from selfpretrain.config import CompareConfig, DiagnoseConfig, Duration, TaskConfig
from selfpretrain.explain.transplants.cells import NOISE, alone
from selfpretrain.studies.builtin.online import always_new
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead, Blind, Claim, LooksNear, Recovers
from selfpretrain.studies.real_data import MNIST_PIXELS, SPLICE, VOWELS, RealData
from selfpretrain.studies.study import Ground, Study
from selfpretrain.verdict.claims import GAIN

TRICKS = {"augment": "masked copies", "cutmix": "CutMix", "smoothing": "label smoothing"}
QUERY_KEY, REST = alone("query-key").name, "spt.all-but-query-key.free"
LOOK = DiagnoseConfig(sections=("attention", "gradients", "transplants"), cells=(QUERY_KEY, REST, NOISE.name))
PIXELS = MNIST_PIXELS.name
OTHERS: tuple[RealData, ...] = (SPLICE, VOWELS)


@dataclass(frozen=True)
class _Place:
    """A data set on which the claims are asked, and what is run there.

    Attributes:
        tricks: ways to train on labels alone that are set against self-pretraining.
        small: what "a very small scale" is there.
        total: whether equal total compute is asked about, too.
        larger: whether a larger model is.
    """

    data: str
    tricks: tuple[str, ...]
    small: str
    total: bool = True
    larger: bool = True


PLACES = (
    _Place("proximity", tuple(TRICKS), "one layer of width 16"),
    _Place(PIXELS, ("augment",), "one layer of width 32", total=False, larger=False),
    _Place("digits", tuple(TRICKS), "one layer of width 16"),
)


def _model(config: CompareConfig, **settings: Any) -> CompareConfig:
    return replace(config, model=replace(config.model, **settings))


def _quarter(config: CompareConfig) -> CompareConfig:
    """The comparison with a quarter of its self-pretraining."""
    duration = Duration.parse(config.pretrain.duration)
    assert duration is not None, "checked by PhaseConfig"
    text = f"{duration.amount / 4:g}{duration.unit}"
    return replace(config, pretrain=replace(config.pretrain, duration=text))


def _cases(ground: Ground) -> list[Case]:
    every = ("scratch", "spt", "scratch-long", *TRICKS)
    model, digits = ground.config.model, TaskConfig(data="digits")
    cases = []
    for data, task, seeds in (
        ("proximity", ground.task, ground.config.seeds),
        ("digits", digits, max(5, ground.config.seeds)),  # scratch differs more from seed to seed there
    ):
        config = replace(ground.config, seeds=seeds)
        larger = _model(config, depth=2 * model.depth, width=2 * model.width)
        cases += [
            Case({"data": data, "with": "all"}, replace(config, arms=every), task, diagnosis=LOOK),
            Case({"data": data, "with": "small-model"}, _model(config, depth=1, width=16), task),
            Case({"data": data, "with": "larger-model"}, larger, task),
            Case({"data": data, "with": "little-spt"}, _quarter(config), task),
        ]
    cases.append(Case({"data": "proximity", "with": "new-sequences"}, ground.config, always_new(ground)))
    # One rate: there is no time for more on two cores. Both arms get the same one.
    pixels = replace(
        _model(ground.config, depth=2, width=64),
        arms=("scratch", "spt", "augment"),
        pretrain=replace(ground.config.pretrain, duration="1500steps"),
        label=replace(ground.config.label, duration="500steps"),
        train=replace(ground.config.train, lr=(1e-3,)),
    )
    pair = replace(pixels, arms=("scratch", "spt"))
    cases += [
        ground.real(MNIST_PIXELS, pixels, axes={"with": "all"}, diagnosis=LOOK),
        ground.real(MNIST_PIXELS, _model(pair, depth=1, width=32), axes={"with": "small-model"}),
        ground.real(MNIST_PIXELS, _quarter(pair), axes={"with": "little-spt"}),
    ]
    return cases + [ground.real(data, ground.config, axes={"with": "all"}) for data in OTHERS]


def _first(place: _Place) -> Claim:
    text = f"{place.data}: self-pretraining beats scratch at equal label compute"
    return Ahead(text=text, case=f"data-{place.data}-with-all")


def _about(place: _Place) -> list[Claim]:
    """Every other claim on a data set, in the order of the papers."""
    data, base = place.data, f"data-{place.data}-with-all"
    claims: list[Claim] = []
    if place.total:
        claims += [Ahead(text=f"{data}: it does at equal total compute", case=base, against="scratch-long")]
    claims += [Ahead(text=f"{data}: it does with {place.small}", case=f"data-{data}-with-small-model")]
    if data == "proximity":
        claims += [
            Ahead(text=f"{data}: it does where no sequence is seen twice", case=f"data-{data}-with-new-sequences")
        ]
    else:
        claims += [Ahead(text=f"{data}: the gain is more than {100 * GAIN:g} points", case=base, beyond=GAIN)]
    claims += [
        Ahead(text=f"{data}: it fits the training labels better than scratch does", case=base, split="train"),
        *(Ahead(text=f"{data}: it beats {TRICKS[trick]}", case=base, against=trick) for trick in place.tricks),
        Recovers(text=f"{data}: query-key weights alone recover the gain", case=base, cell=QUERY_KEY),
        Recovers(text=f"{data}: everything but them does not", case=base, cell=REST, fails=True),
        Recovers(text=f"{data}: query-key noise of the same norm does not", case=base, cell=NOISE.name, fails=True),
        LooksNear(text=f"{data}: they hold proximity from absolute positions", case=base),
        Blind(text=f"{data}: at the start the label is blind to it", case=base),
        Ahead(text=f"{data}: a quarter of the self-pretraining suffices", case=f"data-{data}-with-little-spt"),
    ]
    if place.larger:
        claims += [Ahead(text=f"{data}: it survives a larger model", case=f"data-{data}-with-larger-model")]
    return claims


PAPER = Study(
    name="paper",
    question="Which claims of the papers on self-pretraining hold, on made-up and on real data?",
    expected="All of them on proximity; on images the gain, and that labels alone are stuck; on short series neither.",
    minutes=75,
    claims=(
        _first(PLACES[0]),
        _first(PLACES[1]),
        _first(PLACES[2]),
        *(
            Ahead(text=f"{data.name}: self-pretraining beats scratch ({data.kind})", case=f"data-{data.name}-with-all")
            for data in OTHERS
        ),
        *(claim for place in PLACES for claim in _about(place)),
    ),
    cases=_cases,
)
