"""Which weights carry the gain?"""

from selfpretrain.config import DiagnoseConfig
from selfpretrain.explain.cells import HANDMADE, MAPS, NOISE, QUERY_KEY, SHUFFLED, alone
from selfpretrain.model.groups import Group
from selfpretrain.studies.claims import Blind, LooksNear, Recovers
from selfpretrain.studies.study import Case, Ground, Study

CASE = "moved-groups"
OTHERS: tuple[Group, ...] = ("embedding", "value-output", "feedforward", "norms")


def _cases(ground: Ground) -> list[Case]:
    look = DiagnoseConfig(sections=("attention", "gradients", "transplants"))
    return [Case({"moved": "groups"}, ground.config, ground.task, diagnosis=look)]


TRANSFER = Study(
    name="transfer",
    question="Which group of weights carries the gain from self-pretraining into label training?",
    expected="Query and key weights, alone and only they: they hold a preference for near positions.",
    minutes=10,
    claims=(
        Recovers(text="Query-key weights alone recover the gain", case=CASE),
        Recovers(text="Everything but them does not", case=CASE, cell="spt.all-but-query-key.free", fails=True),
        Recovers(text="Copied attention maps recover it, while everything else learns", case=CASE, cell=MAPS.name),
        Recovers(text="A hand-made bias towards near positions does", case=CASE, cell=HANDMADE.name),
        *(
            Recovers(text=f"{group} weights alone do not", case=CASE, cell=alone(group).name, fails=True)
            for group in OTHERS
        ),
        Recovers(
            text="Query-key weights alone do not, if they stay frozen",
            case=CASE,
            cell=alone(QUERY_KEY[0], frozen=True).name,
            fails=True,
        ),
        Recovers(text="Query-key noise of the same norm does not", case=CASE, cell=NOISE.name, fails=True),
        Recovers(text="Query-key weights from shuffled sequences do not", case=CASE, cell=SHUFFLED.name, fails=True),
        LooksNear(text="Self-pretrained scores favour near positions, whatever stands there", case=CASE),
        Blind(text="At the start the label's gradient is blind to proximity", case=CASE),
    ),
    cases=_cases,
    own_data=True,
)
