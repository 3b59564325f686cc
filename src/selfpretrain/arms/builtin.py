"""The built-in arms. Imports no torch."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from selfpretrain.arms.arm import Arm, Rates, Recipe, Versus, later
from selfpretrain.config import ABSOLUTE
from selfpretrain.errors import RequestError
from selfpretrain.registry import ARMS, register

if TYPE_CHECKING:
    from selfpretrain.comparison.request import Request
    from selfpretrain.data.task import Task
    from selfpretrain.train.training import Training

SLOPE = 2.0
"""Score that the arm ``bias`` takes off for each position of distance (ours: picked on the validation data of the
built-in task, over four seeds that are never reported)."""
PACKAGE = "needs the package"
"""How an obstacle begins that an installation takes away."""
USUAL, RIVALS = "usual", "rivals"
SETS = {
    USUAL: "the default: scratch, spt, scratch-long, classical, and minirocket where it can be used",
    RIVALS: "these, and every arm that costs no more than scratch",
}
"""Names that stand for several arms, for the help."""


def labels(unless: "Callable[[Request], bool]" = lambda request: False, why: str = "", **changes: Any) -> Recipe:
    """Label training with other arguments of ``Request.labels``.

    Args:
        unless: for which requests it is refused, and
        why: the message then.
        **changes: the arguments.
    """

    def recipe(request: "Request", seed: int, rates: Rates) -> "Training":
        if unless(request):
            raise RequestError(why)
        return request.labels(seed, rates.label, **changes)

    return recipe


def _spt(request: "Request", seed: int, rates: Rates) -> "Training":
    """Labels from the self-pretrained encoder of the same seed."""
    from selfpretrain.train.training import Start

    return request.labels(seed, rates.label, start=Start(source=request.pretraining(seed, rates.pretrain)))


def _spt_labelled(request: "Request", seed: int, rates: Rates) -> "Training":
    """The same, self-pretrained on the rows with a label alone."""
    from selfpretrain.train.training import Start

    source, whole = (r.pretraining(seed, rates.pretrain) for r in (request.on_labelled_rows, request))
    source = replace(source, plan=replace(whole.plan, batch_size=source.plan.batch_size))  # as many steps
    return request.labels(seed, rates.label, start=Start(source=source))


def _all_labelled(task: "Task") -> str | None:
    return "is spt where every row has a label; leave it out" if task.unlabelled is None else None


def _scratch_long(request: "Request", seed: int, rates: Rates) -> "Training":
    """Labels alone, with extra steps worth the FLOPs of self-pretraining."""
    return request.labels(seed, rates.label, extra_steps=request.steps_for_pretraining)


free_arm = partial(Arm, contrasts=(Versus("scratch", "label compute"),), is_free=True)
CLASSICAL = "selfpretrain.arms.classical"
for _arm in (
    Arm(
        name="scratch",
        title="Label training",
        says="labels only",
        colour="#D55E00",
        marker="o",
        recipe=labels(),
        is_usual=True,
    ),
    Arm(
        name="spt",
        title="Self-pretraining",
        says="self-pretraining, then labels",
        colour="#0072B2",
        marker="D",
        contrasts=(
            Versus("scratch", "label compute", primary=True),
            Versus("scratch-long", "total compute", primary=True),
            Versus("spt-labelled", "total compute"),
            *(Versus(arm, "label steps") for arm in ("joint", "joint-corrupted")),
            *(Versus(arm, "data") for arm in ("classical", "minirocket", "quant", "rocket")),
        ),
        recipe=_spt,
        is_usual=True,
    ),
    Arm(
        name="scratch-long",
        title="Longer label training",
        says="labels only, with extra steps that cost as much as self-pretraining",
        colour="#E69F00",
        marker="s",
        recipe=_scratch_long,
        is_usual=True,
    ),
    Arm(
        name="spt-labelled",
        title="Self-pretraining on labelled rows",
        says="self-pretraining on the rows with a label alone, then labels",
        colour="#56B4E9",
        marker="*",
        contrasts=(Versus("scratch", "label compute"), Versus("scratch-long", "total compute")),
        recipe=_spt_labelled,
        obstacle=_all_labelled,
    ),
    Arm(
        name="joint",
        title="Joint training",
        says="label loss and masked reconstruction loss together",
        colour="#009E73",
        marker="^",
        contrasts=(Versus("scratch", "label steps"),),
        recipe=labels(
            unless=lambda request: request.config.objective.objective == "causal",
            why="the arm joint fills in masked positions; use the objective masked or span",
            objective="joint",
        ),
    ),
    Arm(
        name="joint-corrupted",
        title="Joint training on corrupted sequences",
        says="label loss and reconstruction loss together, on the same corrupted sequences",
        colour="#117733",
        marker="H",
        contrasts=(Versus("scratch", "label steps"),),
        recipe=labels(objective="joint-corrupted"),
    ),
    free_arm(
        name="mimetic",
        title="Mimetic initialisation",
        says="labels only, attention weights initialised as in Trockman and Kolter (2023)",
        colour="#AA4499",
        marker="<",
        recipe=labels(init="mimetic"),
        own_start=True,
    ),
    free_arm(
        name="mimetic-qk",
        title="Mimetic queries and keys",
        says="labels only, query-key weights initialised near a scaled identity",
        colour="#CC79A7",
        marker="v",
        recipe=labels(init="mimetic-qk"),
        own_start=True,
    ),
    free_arm(
        name="impulse",
        title="Impulse initialisation",
        says="labels only, each head initialised to look at one offset, as in Zheng et al. (2025)",
        colour="#44AA99",
        marker=">",
        recipe=labels(
            unless=lambda request: request.model.positions not in ABSOLUTE or request.model.pooling == "cls",
            why="the arm impulse needs absolute positions and no class token; leave it out",
            init="impulse",
        ),
        own_start=True,
    ),
    free_arm(
        name="bias",
        title="A hand-made proximity bias",
        says=f"labels only, with a fixed bias of -{SLOPE:g} per position of distance on the attention scores",
        colour="#332288",
        marker="X",
        recipe=labels(proximity_bias=SLOPE),
        own_start=True,
    ),
    free_arm(
        name="rotary",
        title="Rotary positions",
        says="labels only, with rotary positions",
        colour="#882255",
        marker="p",
        recipe=labels(
            unless=lambda request: request.model.positions == "rotary",
            why="the arm rotary is scratch where the model has rotary positions; leave it out",
            positions="rotary",
        ),
        own_start=True,
    ),
    free_arm(
        name="cutmix",
        title="CutMix",
        says="labels only, with segments pasted in from other sequences and labels mixed",
        colour="#999933",
        marker="h",
        recipe=labels(objective="cutmix"),
    ),
    free_arm(
        name="smoothing",
        title="Label smoothing",
        says="labels only, with label smoothing",
        colour="#88CCEE",
        marker="d",
        recipe=labels(objective="smoothing"),
    ),
    free_arm(
        name="augment",
        title="Masked copies",
        says="labels only, with a different set of positions masked at every step",
        colour="#DDCC77",
        marker="8",
        recipe=labels(objective="masked-labels"),
    ),
    Arm(
        name="classical",
        title="The classical model",
        says="the best of a few scikit-learn models, selected on validation data",
        colour="#666666",
        marker="P",
        fit=later(CLASSICAL, "fit_classical"),
        is_usual=True,
    ),
    Arm(
        name="minirocket",
        title="MiniRocket",
        says="fixed convolutions of the series, with a ridge classifier (Dempster et al. 2021)",
        colour="#000000",
        marker="1",
        fit=later(CLASSICAL, "fit_aeon", "convolution_based", "MiniRocketClassifier"),
        obstacle=later(CLASSICAL, "aeon_obstacle"),
        is_usual=True,
    ),
    Arm(
        name="quant",
        title="QUANT",
        says="quantiles over intervals of the series, with a tree-based classifier (Dempster et al. 2024)",
        colour="#661100",
        marker="x",
        fit=later(CLASSICAL, "fit_aeon", "interval_based", "QUANTClassifier"),
        obstacle=later(CLASSICAL, "aeon_obstacle"),
    ),
    Arm(
        name="rocket",
        title="MultiRocket-Hydra",
        says="random convolutions of the series, with a ridge classifier (Dempster et al. 2023)",
        colour="#6699CC",
        marker="+",
        fit=later(CLASSICAL, "fit_aeon", "convolution_based", "MultiRocketHydraClassifier"),
        obstacle=later(CLASSICAL, "aeon_obstacle"),
    ),
):
    register(_arm)


def contrasts_of(name: str) -> tuple[Versus, ...]:
    """The contrasts of an arm: those that it declares, and for self-pretraining one with every free arm."""
    free = [Versus(other, "label compute") for other, arm in ARMS.items() if arm.is_free and name == "spt"]
    return (*ARMS[name].contrasts, *free)


def expanded(names: Sequence[str], task: "Task | None" = None) -> tuple[str, ...]:
    """Names of arms, with those for which ``usual`` and ``rivals`` stand; each once.

    Args:
        task: what they are compared on; None: arms that cannot be used with every task are not among the usual ones.

    Raises:
        SettingError: a name that no arm has.

    >>> expanded(("joint", "rivals"))[:6]
    ('joint', 'scratch', 'spt', 'scratch-long', 'classical', 'mimetic')
    """

    def stands_back(arm: Arm) -> bool:
        return arm.obstacle is not None and (task is None or arm.obstacle(task) is not None)

    usual = [name for name, arm in ARMS.items() if arm.is_usual and not stands_back(arm)]
    sets = {USUAL: usual, RIVALS: [*usual, *(name for name, arm in ARMS.items() if arm.is_free)]}
    named = [name for given in names for name in sets.get(given, [given])]
    return tuple(ARMS[name].name for name in dict.fromkeys(named))


def lacking(names: Collection[str], task: "Task") -> list[Arm]:
    """The usual arms that are not among these because a package is not installed."""
    away = {arm: arm.obstacle(task) for arm in ARMS.values() if arm.is_usual and arm.obstacle is not None}
    return [arm for arm, why in away.items() if arm.name not in names and why is not None and why.startswith(PACKAGE)]
