"""Does self-pretraining win where no sequence is seen twice?"""

from dataclasses import replace

from selfpretrain.config import Duration, TaskConfig
from selfpretrain.studies.claims import Ahead, Generalises
from selfpretrain.studies.study import Case, Ground, Study


def always_new(ground: Ground) -> TaskConfig:
    """So many sequences that every phase ends within its first epoch: no loss sees a sequence twice."""
    from selfpretrain.data.split import SHARES

    steps = [Duration.parse(phase.duration) for phase in (ground.config.pretrain, ground.config.label)]
    longest = sum(duration.steps(epoch=1) for duration in steps if duration is not None)  # of scratch-long, or nearly
    sequences = round(1.1 * longest * ground.config.label.batch_size / SHARES[0])
    return replace(ground.task, options={**ground.task.options, "sequences": sequences})


def _cases(ground: Ground) -> list[Case]:
    config = replace(ground.config, arms=("scratch", "spt", "scratch-long"))
    return [Case({"sequences": "all-new"}, config, always_new(ground))]


ONLINE = Study(
    name="online",
    question="Does self-pretraining still help if every step uses new sequences, so that overfitting is impossible?",
    expected="Yes: what labels have trouble with is learning, not generalising.",
    minutes=8,
    claims=(
        Ahead(text="On sequences that are never seen twice self-pretraining beats scratch", case="sequences-all-new"),
        Ahead(text="It does so at equal total compute", case="sequences-all-new", against="scratch-long"),
        *(
            Generalises(text=f"{arm} is as good on test as on training sequences", case="sequences-all-new", arm=arm)
            for arm in ("scratch", "spt")
        ),
    ),
    cases=_cases,
)
