"""The built-in studies but for ``paper``, in the order in which they are listed. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfpretrain.config import CompareConfig, DiagnoseConfig, Duration, TaskConfig
from selfpretrain.explain.cells import HANDMADE, MAPS, NOISE, QUERY_KEY, SHUFFLED, alone
from selfpretrain.model.groups import Group
from selfpretrain.registry import PRESETS, register
from selfpretrain.studies.claims import (
    Ahead,
    Blind,
    Changes,
    Claim,
    Fits,
    Foretells,
    Generalises,
    LooksNear,
    Recovers,
    Sooner,
)
from selfpretrain.studies.study import Case, ClaimAnswer, Ground, Study, changed, times

TWO_TASKS = ("proximity", "digits")
TRICKS = {"augment": "masked copies", "cutmix": "CutMix", "smoothing": "label smoothing"}
"""Arms that train on labels alone, and what claims call them."""


def study(**declaration: Any) -> Callable[[Callable[[Ground], list[Case]]], Study]:
    """Register the study of this declaration, with a function that makes its cases."""
    return lambda cases: register(Study(cases=cases, **declaration))


def on_two_tasks(ground: Ground, *arms: str) -> list[Case]:
    """Cases of scratch, spt and these arms on both tasks."""
    return ground.over(TWO_TASKS, replace(ground.config, arms=("scratch", "spt", *arms)))


def with_more_seeds(ground: Ground) -> Ground:
    """Five seeds at least: three decide nothing between cases but the largest differences.

    The profile small pays for them with its lowest rate, which only takes longer.
    """
    config = replace(ground.config, seeds=max(5, ground.config.seeds))
    if ground.profile == "small" and not ground.is_given:
        config = changed(config, "train", lr=(3e-3, 1e-2))
    return replace(ground, config=config)


def spt_beats(*arms: str) -> list[Claim]:
    """That self-pretraining beats each of these arms on both tasks."""
    return [
        Ahead(text=f"On {task} self-pretraining beats {TRICKS.get(arm, arm)}", case=f"data-{task}", against=arm)
        for task in TWO_TASKS
        for arm in arms
    ]


def beat_scratch(*arms: str, scratch: str = "scratch") -> list[Claim]:
    """That each of these arms beats scratch, by the name given, on both tasks."""
    return [
        Ahead(text=f"On {task} {TRICKS.get(arm, arm)} beats {scratch}", case=f"data-{task}", arm=arm)
        for task in TWO_TASKS
        for arm in arms
    ]


BUILTIN_TASKS = (*TWO_TASKS, "skew", "noise")


@study(
    name="replicate",
    question="Does self-pretraining beat scratch on built-in tasks, at equal label compute and equal total compute?",
    expected="Yes on proximity, both ways; less on digits and skew, where labels alone learn; not at all on noise.",
    minutes=15,
    claims=[
        Ahead(
            text=f"On {task} self-pretraining beats {against} at equal {compute} compute",
            case=f"data-{task}",
            against=against,
        )
        for task in BUILTIN_TASKS
        for against, compute in (("scratch", "label"), ("scratch-long", "total"))
    ],
)
def _replicate(ground: Ground) -> list[Case]:
    config = with_more_seeds(ground).config
    return ground.over(BUILTIN_TASKS, replace(config, arms=("scratch", "spt", "scratch-long")))


def to_solve(ground: Ground, steps: int = 800) -> Ground:
    """The ground of a question about the time that it takes to solve a task: a sister task that labels alone can solve.

    It has enough label steps for that, validations forty times along them, and seeds for an exact test.
    """
    task, config = ground.task, with_more_seeds(ground).config
    if task.data == "proximity":
        task = replace(task, options={**task.options, "law": "steps"})
        if ground.profile == "small" and not ground.is_given:
            config = changed(config, "label", duration=f"{steps}steps")
            config = changed(config, "pretrain", duration="400steps")
    config = changed(config, "label", evaluate_every="2.5%")
    return replace(ground, config=config, task=task)


def sooner_along(axis: str, few: tuple[int, str], many: tuple[int, str]) -> list[Claim]:
    """That self-pretraining solves it sooner at two values of a setting, and scratch sooner with the larger one."""
    (least, with_few), (most, with_many) = few, many
    ends = ((least, with_few), (most, with_many))
    words = {
        False: "self-pretraining solves it sooner than scratch",
        True: "it does so with its own compute counted",
    }
    return [
        *(
            Sooner(text=f"{with_value.capitalize()} {words[total]}", case=f"{axis}-{value}", total=total)
            for total in words
            for value, with_value in ends
        ),
        Sooner(
            text=f"Scratch solves it sooner {with_many} than {with_few}",
            case=f"{axis}-{most}",
            arm="scratch",
            other=f"{axis}-{least}",
        ),
        Changes(text=f"The gain in accuracy falls with the {axis}", axis=axis, falls=True),
    ]


@study(
    name="depth",
    question="Does the gain of self-pretraining need depth, or does depth help labels alone to learn sooner?",
    expected="It is there with a single layer as with four; more layers do not help labels alone.",
    minutes=20,
    claims=sooner_along("depth", (1, "with one layer"), (4, "with four layers")),
    own_data=True,
)
def _depth(ground: Ground) -> list[Case]:
    return to_solve(ground).along_model("depth", (1, 2, 4), more=(8,))


@study(
    name="width",
    question="Does the gain of self-pretraining shrink as the model grows wider?",
    expected="A wider model learns from labels alone sooner, and still later than after self-pretraining.",
    minutes=15,
    claims=sooner_along("width", (16, "at width 16"), (64, "at width 64")),
    own_data=True,
)
def _width(ground: Ground) -> list[Case]:
    return to_solve(ground).along_model("width", (16, 32, 64), more=(128, 256, 512))


FRACTIONS = {0.5: "half", 0.125: "an eighth", 0.03125: "a thirty-second"}


@study(
    name="data-size",
    question="How many times the data does scratch need to match self-pretraining, at the same number of label steps?",
    expected="Eight times at most: with a thirty-second of the data (88 sequences) both overfit.",
    minutes=15,
    claims=[
        Sooner(text="With all the data self-pretraining solves it sooner than scratch", case="fraction-1.0"),
        Sooner(
            text="With an eighth of the data self-pretraining solves it sooner than scratch with all",
            case="fraction-0.125",
            other="fraction-1.0",
        ),
        *(
            Ahead(
                text=f"On {words} of the data self-pretraining beats scratch",
                case=f"fraction-{fraction}",
                even_untested=True,  # that so few sequences teach nothing is an answer
            )
            for fraction, words in FRACTIONS.items()
        ),
        Changes(text="The gain in accuracy falls with more data", axis="fraction", falls=True, even_untested=True),
    ],
    own_data=True,
)
def _data_size(ground: Ground) -> list[Case]:
    return to_solve(ground).along(
        "fraction", (*sorted(FRACTIONS), 1.0), task=lambda task, fraction: replace(task, fraction=fraction)
    )


LABELS = (0.02, 0.1, 0.3, 1.0)


def few_labels(shares: Sequence[float] = LABELS) -> Study:
    """The comparison with these shares of the training labels; the fewer are among the more."""
    shares = sorted(shares)
    claims: list[Claim] = [
        *(
            Ahead(
                text=f"With {100 * share:g}% of the training labels self-pretraining beats scratch",
                case=f"labels-{share}",
            )
            for share in shares
        ),
        Ahead(
            text=f"With {100 * shares[0]:g}% of them it beats the classical model, self-trained on the same sequences",
            case=f"labels-{shares[0]}",
            against="classical",
        ),
    ]
    if len(shares) > 1:
        claims.append(Changes(text="The gain falls with more labels", axis="labels", falls=True))

    def cases(ground: Ground) -> list[Case]:
        arms = dict.fromkeys(("scratch", "spt", "classical", *ground.config.arms))
        with_rival = replace(ground, config=replace(ground.config, arms=tuple(arms)))
        return with_rival.along("labels", shares, task=lambda task, share: replace(task, label_fraction=share))

    return Study(
        name="few-labels",
        question="How does the gain change with the number of labels, where all sequences are there to pretrain on?",
        expected="The fewer labels, the larger the gain; validation, which picks, keeps all of its labels.",
        minutes=8,
        claims=claims,
        cases=cases,
        own_data=True,
    )


register(few_labels())


def always_new(ground: Ground) -> TaskConfig:
    """So many sequences that every phase ends within its first epoch: no loss sees a sequence twice."""
    from selfpretrain.data.split import SHARES

    steps = [Duration.parse(phase.duration) for phase in (ground.config.pretrain, ground.config.label)]
    longest = sum(duration.steps(epoch=1) for duration in steps if duration is not None)  # of scratch-long, or nearly
    sequences = round(1.1 * longest * ground.config.label.batch_size / SHARES[0])
    return replace(ground.task, options={**ground.task.options, "sequences": sequences})


@study(
    name="online",
    question="Does self-pretraining still help if every step uses new sequences, so that overfitting is impossible?",
    expected="Yes: what labels have trouble with is learning, not generalising.",
    minutes=8,
    claims=[
        Ahead(text="On sequences that are never seen twice self-pretraining beats scratch", case="sequences-all-new"),
        Ahead(text="It does so at equal total compute", case="sequences-all-new", against="scratch-long"),
        *(
            Generalises(text=f"{arm} is as good on test as on training sequences", case="sequences-all-new", arm=arm)
            for arm in ("scratch", "spt")
        ),
    ],
)
def _online(ground: Ground) -> list[Case]:
    config = replace(ground.config, arms=("scratch", "spt", "scratch-long"))
    return [Case({"sequences": "all-new"}, config, always_new(ground))]


TUNED: dict[str, tuple[str, float, dict[str, str]]] = {
    "16x": ("with 16 times the label steps", 16, {}),
    "4x": ("with 4 times the label steps", 4, {}),
    "rates": ("with five rates from 0.0003 to 0.03", 1, {}),
    "sgd": ("with gradient descent and momentum", 1, {"optimizer": "sgd"}),
    "muon": ("with Muon", 1, {"optimizer": "muon"}),
    "muon-4x": ("with Muon and 4 times the label steps", 4, {"optimizer": "muon"}),
    "no-warmup": ("without a warm-up", 1, {"warmup": "0steps"}),
    "long-warmup": ("with a warm-up over half of the steps", 1, {"warmup": "50%"}),
    "cosine": ("with a cosine schedule", 1, {"schedule": "cosine"}),
}
"""Ways to tune scratch: in words, how many times the label steps, and settings of label training."""
RATES = {
    "rates": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "sgd": (0.03, 0.1, 0.3),
    "4x": (3e-4, 1e-3, 3e-3, 1e-2),
    "16x": (3e-4, 1e-3, 3e-3),
}
"""Rates other than usual: plain gradients are smaller than Adam's steps, and more steps want lower rates (ours)."""


@study(
    name="tuning",
    question="Does scratch catch up with self-pretraining when its rate, optimiser, warm-up or label steps are tuned?",
    expected="Not by rate or warm-up; many more label steps leave the plateau in some seeds, and Muon may.",
    minutes=18,
    claims=[
        Ahead(text="Self-pretraining beats scratch, both tuned alike", case="tuned-as-all"),
        *(
            Ahead(text=f"Self-pretraining beats scratch {words}", case="tuned-as-all", other=f"tuned-{way}")
            for way, (words, _, _) in TUNED.items()
        ),
    ],
    own_data=True,
)
def _tuning(ground: Ground) -> list[Case]:
    ground = with_more_seeds(ground)
    configs = {"as-all": ground.config}
    for way, (_, factor, settings) in TUNED.items():
        config = times(replace(ground.config, arms=("scratch",)), "label", factor)
        config = changed(config, "train", lr=RATES.get(way, config.train.lr))
        configs[way] = changed(config, "label", **settings)
    return [Case({"tuned": way}, config, ground.task) for way, config in configs.items()]


MOVED = "moved-groups"
OTHER_GROUPS: tuple[Group, ...] = ("embedding", "value-output", "feedforward", "norms")
NOT_ENOUGH = {f"{group} weights alone do not": alone(group) for group in OTHER_GROUPS} | {
    "Query-key weights alone do not, if they stay frozen": alone(QUERY_KEY[0], frozen=True),
    "Query-key noise of the same norm does not": NOISE,
    "Query-key weights from shuffled sequences do not": SHUFFLED,
}
LOOK = DiagnoseConfig(sections=("attention", "gradients", "transplants"))


@study(
    name="transfer",
    question="Which group of weights carries the gain from self-pretraining into label training?",
    expected="Query and key weights, alone and only they: they hold a preference for near positions.",
    minutes=10,
    claims=[
        Recovers(text="Query-key weights alone recover the gain", case=MOVED),
        Recovers(text="Everything but them does not", case=MOVED, cell="spt.all-but-query-key.free", fails=True),
        Recovers(text="Copied attention maps recover it, while everything else learns", case=MOVED, cell=MAPS.name),
        Recovers(text="A hand-made bias towards near positions does", case=MOVED, cell=HANDMADE.name),
        *(Recovers(text=text, case=MOVED, cell=cell.name, fails=True) for text, cell in NOT_ENOUGH.items()),
        LooksNear(text="Self-pretrained scores favour near positions, whatever stands there", case=MOVED),
        Blind(text="At the start the label's gradient is blind to query-key weights", case=MOVED),
    ],
    own_data=True,
)
def _transfer(ground: Ground) -> list[Case]:
    return [Case({"moved": "groups"}, ground.config, ground.task, diagnosis=LOOK)]


STARTS_OF: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mirror": ("scratch", "sinusoidal", {}),
    "steps": ("scratch", "sinusoidal", {"law": "steps"}),
    "far-steps": ("scratch", "sinusoidal", {"law": "steps", "step": 3}),
    "strength": ("scratch", "sinusoidal", {"law": "strength"}),
    "lag": ("scratch", "sinusoidal", {"law": "lag"}),
    "mirror-rotary": ("scratch", "rotary", {}),
    "mirror-bias": ("bias", "sinusoidal", {}),
    "mirror-impulse": ("impulse", "sinusoidal", {}),
}
"""Sister tasks and starts: an arm, positions, and the options of proximity."""


@study(
    name="blindness",
    question="Does the label's gradient at the start tell whether labels alone will learn the task?",
    expected="Where it carries no signal on query-key weights labels are slow; that it carries one is not enough.",
    minutes=20,
    claims=[
        Foretells(
            text="Among eight starts, the more query-key gradients say about labels, the sooner these solve the task",
            starts=tuple((f"start-{name}", arm) for name, (arm, _, _) in STARTS_OF.items()),
        ),
        Blind(text="On mirror images the label is blind to query-key weights", case="start-mirror"),
        *(
            Blind(text=f"So it is {words}", case=f"start-{name}", arm=STARTS_OF[name][0])
            for name, words in (
                ("lag", "where the classes differ by a lag"),
                ("strength", "where they differ by the strength of the chain"),
                ("steps", "where they differ by a step of 1 or 2"),
                ("far-steps", "where they differ by a step of 1 or 3"),
                ("mirror-rotary", "on mirror images with rotary positions"),
                ("mirror-bias", "on mirror images with a bias towards near positions"),
                ("mirror-impulse", "on mirror images with heads that look at neighbours"),
            )
        ),
        Recovers(
            text="Where the classes differ by a lag, query-key weights alone recover the gain", case="start-lag-spt"
        ),
        Recovers(
            text="There everything but them does not",
            case="start-lag-spt",
            cell="spt.all-but-query-key.free",
            fails=True,
        ),
    ],
)
def _blindness(ground: Ground) -> list[Case]:
    ground = to_solve(ground, steps=1200)
    config = changed(ground.config, "train", snapshots=1)  # it is the start that is looked at

    def case(name: str, arms: tuple[str, ...], positions: str, options: dict[str, Any], look: DiagnoseConfig) -> Case:
        model = changed(replace(config, arms=arms), "model", positions=positions)
        task = replace(ground.task, options={**ground.task.options, "law": "mirror", **options})
        return Case({"start": name}, model, task, look)

    look = DiagnoseConfig(sections=("gradients",))
    moved = DiagnoseConfig(sections=("transplants",), cells=(alone(QUERY_KEY[0]).name, "spt.all-but-query-key.free"))
    return [
        *(case(name, (arm,), positions, options, look) for name, (arm, positions, options) in STARTS_OF.items()),
        case("lag-spt", ("scratch", "spt"), "sinusoidal", {"law": "lag"}, moved),
    ]


MASKINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "ratio-0.15": ("with 15% masked", {"mask_ratio": 0.15}),
    "ratio-0.5": ("with half of the positions masked", {"mask_ratio": 0.5}),
    "ratio-0.85": ("with 85% masked", {"mask_ratio": 0.85}),
    "span": ("on masked stretches, with six times the steps,", {"objective": "span"}),
    "next": ("on the next symbol, under causal attention,", {"objective": "causal"}),
    "shuffled": ("on shuffled sequences, a control,", {"control": "shuffled"}),
    "random": ("that asks for another sequence's symbols, a control,", {"control": "random"}),
}


@study(
    name="masking",
    question="Which kind of masking does the gain need: what ratio, single positions or spans, or next position only?",
    expected="Single masks at every ratio, and best at a half; stretches need more steps; the controls do not help.",
    minutes=18,
    claims=[
        Sooner(
            text=f"Self-pretraining {MASKINGS[way][0]} solves it sooner than scratch",
            case=f"hide-{way}",
            even_untested=way in ("shuffled", "random"),  # that nothing can be learnt from them is the answer here
        )
        for way in dict.fromkeys(("ratio-0.5", "next", *MASKINGS))  # the first two are primary
    ],
    own_data=True,
)
def _masking(ground: Ground) -> list[Case]:
    def change(config: CompareConfig, way: Any) -> CompareConfig:
        return times(changed(config, "objective", **MASKINGS[way][1]), "pretrain", 6 if way == "span" else 1)

    return to_solve(ground).along("hide", tuple(MASKINGS), change)


@study(
    name="budget",
    question="How few steps of self-pretraining suffice?",
    expected="As many as the reconstruction needs to leave its plateau: some hundred, and more of them add little.",
    minutes=12,
    claims=[  # that so few steps teach nothing is an answer here
        *(
            Ahead(text=f"SPT of {steps} steps beats scratch", case=f"spt-steps-{steps}", even_untested=True)
            for steps in (800, 400, 200, 100)
        ),
        Changes(text="The gain rises with the steps of self-pretraining", axis="spt-steps", even_untested=True),
    ],
    own_data=True,
)
def _budget(ground: Ground) -> list[Case]:
    config = with_more_seeds(ground).config
    config = changed(config, "train", lr=(*config.train.lr, 3e-2))  # so few steps want higher rates
    return replace(ground, config=config).along(
        "spt-steps",
        (100, 200, 400, 800),
        lambda config, steps: changed(config, "pretrain", duration=f"{steps}steps"),
        more=(1600, 3200),
    )


@study(
    name="positions",
    question="Can a positional encoding that favours near positions (ALiBi, rotary) replace self-pretraining?",
    expected="ALiBi and rotary positions let scratch tell one lag from another, where sinusoidal ones do not.",
    minutes=15,
    claims=[
        Ahead(text="With sinusoidal positions self-pretraining beats scratch", case="positions-sinusoidal"),
        *(
            Ahead(
                text=f"Scratch with {words} beats scratch with sinusoidal positions",
                case=f"positions-{code}",
                arm="scratch",
                other="positions-sinusoidal",
            )
            for code, words in (("alibi", "ALiBi"), ("rotary", "rotary positions"))
        ),
        Ahead(text="With learned positions self-pretraining beats scratch", case="positions-learned"),
        Ahead(text="With ALiBi self-pretraining still beats scratch", case="positions-alibi"),
    ],
    own_data=True,
)
def _positions(ground: Ground) -> list[Case]:
    """On the law lag, whose classes differ by a distance alone: ALiBi can tell them apart, unlike mirror images."""
    ground = to_solve(ground)
    if ground.task.data == "proximity":
        ground = replace(ground, task=replace(ground.task, options={**ground.task.options, "law": "lag"}))
    return ground.along_model("positions", ("sinusoidal", "learned", "rotary", "alibi", "none"))


STARTS = ("impulse", "bias", "mimetic", "mimetic-qk", "rotary")


@study(
    name="rivals",
    question="Can an initialisation that costs nothing do as well as self-pretraining?",
    expected="On proximity those that make attention local do; on digits labels alone need less help.",
    minutes=18,
    claims=[
        *spt_beats("scratch", *STARTS),
        *(
            Ahead(
                text=f"On {words} with Muon in both phases self-pretraining beats scratch at equal total compute",
                family="Muon",
                case=f"data-{task}-optimizer-muon",
                against="scratch-long",
            )
            for task, words in (("proximity", "proximity"), ("lag", "its sister task lag"), ("digits", "digits"))
        ),
    ],
)
def _rivals(ground: Ground) -> list[Case]:
    ground = with_more_seeds(ground)
    lag = replace(ground.task, options={**ground.task.options, "law": "lag"})
    muon = changed(replace(ground.config, arms=("spt", "scratch-long")), "pretrain", optimizer="muon")
    muon = changed(muon, "label", optimizer="muon")
    tasks = {"proximity": ground.task, "lag": lag, "digits": TaskConfig(data="digits")}
    return [
        *on_two_tasks(ground, *STARTS),
        *(Case({"data": name, "optimizer": "muon"}, muon, task) for name, task in tasks.items()),
    ]


RECIPES = ("joint", "joint-corrupted")


@study(
    name="joint",
    question="Does training on the masked loss and the label loss together do what self-pretraining does beforehand?",
    expected="Not within the label's steps; with those of self-pretraining besides it may.",
    minutes=15,
    claims=[
        *spt_beats(*RECIPES),
        *beat_scratch(*RECIPES),
        *(
            Ahead(
                text=f"On {task} self-pretraining beats {arm} with as many steps as both of its phases",
                case=f"data-{task}",
                against=arm,
                other=f"data-{task}-steps-of-both",
            )
            for task in TWO_TASKS
            for arm in RECIPES
        ),
    ],
)
def _joint(ground: Ground) -> list[Case]:
    ground = with_more_seeds(ground)
    pretrain, label = (Duration.parse(phase.duration) for phase in (ground.config.pretrain, ground.config.label))
    assert pretrain is not None and label is not None, "checked by PhaseConfig"
    longer = times(replace(ground.config, arms=RECIPES), "label", 1 + pretrain.amount / label.amount)
    return [
        *on_two_tasks(ground, *RECIPES),
        *(Case({**case.axes, "steps": "of-both"}, case.config, case.task) for case in ground.over(TWO_TASKS, longer)),
    ]


POOLINGS = {"mean": "mean pooling", "max": "max pooling", "cls": "a class token", "last": "the last position"}


@study(
    name="pooling",
    question="Does label training fail to learn attention only with mean pooling?",
    expected="No: with every way to pool, scratch takes longer than after self-pretraining.",
    minutes=15,
    claims=[
        Sooner(text=f"With {words} self-pretraining solves it sooner than scratch", case=f"pooling-{way}")
        for way, words in POOLINGS.items()
    ],
    own_data=True,
)
def _pooling(ground: Ground) -> list[Case]:
    return to_solve(ground).along_model("pooling", tuple(POOLINGS))


@study(
    name="augment",
    question="Can masked copies, CutMix or label smoothing replace self-pretraining?",
    expected="Not on proximity; CutMix might, since it breaks the symmetry between positions. They help on digits.",
    minutes=8,
    claims=[*spt_beats(*TRICKS), *beat_scratch(*TRICKS, scratch="plain labels")],
)
def _augment(ground: Ground) -> list[Case]:
    return on_two_tasks(with_more_seeds(ground), *TRICKS)


LENGTHS = (4, 8, 16, 32, 80)


@study(
    name="scaling-length",
    question="How well do scratch and self-pretraining do as sequences get longer?",
    expected="Labels alone learn it up to some ten positions; the longer sequences are, the larger the gain.",
    minutes=15,
    claims=[
        Ahead(text="Self-pretraining beats scratch at length 80", case="length-80"),
        Changes(text="The gain rises with the length", axis="length", even_untested=True),
        *(
            Ahead(
                text=f"Self-pretraining beats scratch at length {length}", case=f"length-{length}", even_untested=True
            )
            for length in LENGTHS[:-1]
        ),
    ],
)
def _scaling_length(ground: Ground) -> list[Case]:
    config = with_more_seeds(ground).config
    config = times(config, "label", 4) if ground.profile == "small" and not ground.is_given else config
    return replace(ground, config=config).along(
        "length",
        LENGTHS,
        task=lambda task, length: replace(task, options={**task.options, "length": length}),
        more=(160, 320, 640),
    )


@study(
    name="patches",
    question="Does the gain need single positions, or does it stay where several are read as one token?",
    expected="It falls: within a patch the first layer sees neighbours side by side, without attention.",
    minutes=6,
    claims=[  # that self-pretraining learns nothing from patches is an answer here
        Ahead(text="Self-pretraining beats scratch with single positions", case="patch-1"),
        Ahead(text="It does where two positions are one token", case="patch-2", even_untested=True),
        Ahead(text="It does where eight are", case="patch-8", even_untested=True),
        Changes(text="The gain falls with the size of the patches", axis="patch", falls=True, even_untested=True),
    ],
    own_data=True,
)
def _patches(ground: Ground) -> list[Case]:
    config = replace(ground.config, arms=("scratch", "spt", "scratch-long"))
    return replace(ground, config=config).along_model("patch", (1, 2, 4, 8))


LONGER = 10
BY_HEART = 0.1
"""Of the sequences, with random labels: few enough that so small a model can learn them by heart (ours)."""
AS_GIVEN, LONG = "labels-true-steps-as-given", f"labels-true-steps-{LONGER}x"


def _reading(answers: Sequence[ClaimAnswer]) -> str:
    """The two questions that decide: whether it fits, and whether what it fits carries over."""
    fits, fits_later, fits_random, carries_over, _ = (answer.outcome for answer in answers)
    if fits == "does not hold":
        later = {"holds": f"{LONGER} times the steps fit them", "does not hold": f"nor within {LONGER} times the steps"}
        return (
            "Optimisation: within its steps scratch does not fit its own training labels "
            f"({later.get(fits_later, 'with more steps it is open')})."
        )
    if fits == "holds" and carries_over == "does not hold":
        by_heart = ", and random labels as well: it can learn them by heart" if fits_random == "holds" else ""
        return f"Generalisation: scratch fits its training labels{by_heart}, and does worse on new sequences."
    if fits == "holds" and carries_over == "holds":
        return "Scratch does not fail: it fits its training labels, and does as well on new sequences."
    return "Open: these seeds do not decide whether scratch fits its training labels, or what they are worth."


@study(
    name="why-scratch-fails",
    question="Why does label training alone fail here: does it fail to fit the training labels, or fail to generalise?",
    expected="On proximity it does not fit its labels; random labels of few sequences it learns by heart, in time.",
    minutes=15,
    claims=[
        Fits(text="Scratch fits its training labels", case=AS_GIVEN),
        Fits(text=f"Scratch fits them with {LONGER} times the steps", case=LONG),
        Fits(
            text=f"Scratch fits random labels of a tenth of the sequences with {LONGER} times the steps",
            case=f"labels-random-steps-{LONGER}x",
        ),
        Generalises(text="Scratch is as good on test as on training sequences", case=AS_GIVEN),
        Ahead(text=f"Self-pretraining beats scratch with {LONGER} times the label steps", case=AS_GIVEN, other=LONG),
    ],
    own_data=True,
    reading=_reading,
)
def _why_scratch_fails(ground: Ground) -> list[Case]:
    scratch, random = replace(ground.config, arms=("scratch",)), replace(ground.task, random_labels=True)
    random = replace(random, fraction=BY_HEART * random.fraction)
    rates = tuple(dict.fromkeys((3e-4, *scratch.train.lr)))  # so many steps want lower ones
    long = times(changed(scratch, "train", lr=rates), "label", LONGER)
    return [
        Case({"labels": "true", "steps": "as-given"}, ground.config, ground.task),
        Case({"labels": "true", "steps": f"{LONGER}x"}, long, ground.task),
        Case({"labels": "random", "steps": "as-given"}, scratch, random),
        Case({"labels": "random", "steps": f"{LONGER}x"}, long, random),
    ]


REAL_DATA = {
    "digits": "images of digits, 64 pixels",
    "mnist-pixels-400.npz": "images, 196 pixels, 400 labels",
    "mnist-pixels-labelled.npz": "images, 196 pixels, 3,500 labels",
    "mnist-rows.npz": "images by rows, 400 labels",
    "splice.csv": "DNA",
    "vowels.jsonl": "speech",
    "smartwatch.npz": "motion, by person",
    "words.csv": "words, 600 labels",
    "newsgroups.csv": "text",
    "cartpole.npz": "reinforcement learning",
}
"""Files that examples/real_data.py makes, and scikit-learn's digits: what is in them."""


@study(
    name="domains",
    question="Does self-pretraining help on real data, at equal label compute, at equal total compute, and beside the "
    "best rival?",
    expected="By a few points at equal label compute, and seldom at equal total compute; the classical model is ahead.",
    minutes=90,
    budget="90m",
    claims=[
        Ahead(
            text=f"On {kind} ({Path(data).stem}) self-pretraining beats {words}",
            case=f"data-{Path(data).stem}",
            against=against,
            family=data,
        )
        for data, kind in REAL_DATA.items()
        for against, words in (
            ("scratch", "scratch at equal label compute"),
            ("scratch-long", "scratch at equal total compute"),
            ("classical", "the classical model"),
        )
    ],
)
def _domains(ground: Ground) -> list[Case]:
    """With the model and the rates that ``compare`` takes for a file."""
    config = ground.config if ground.is_given else replace(PRESETS["standard"].config, seeds=ground.config.seeds)
    config = replace(config, arms=("scratch", "spt", "scratch-long", "classical"))
    files = (data for data in REAL_DATA if data != "digits")
    return [*ground.over(("digits",), config), *(ground.real(file, config) for file in files)]
