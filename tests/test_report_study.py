"""The page of a study: families of claims stand beside each other."""

from selfpretrain.report.study import StudyContent
from selfpretrain.studies.study import ClaimAnswer, StudyAnswer
from stand_in import made


def test_families_of_claims_stand_beside_each_other():
    """Claims without the name of their family in the rows, a family a column."""
    said = (("a", "it is ahead"), ("b", "it is ahead"), ("b", "it is needed"))
    claims = tuple(made(ClaimAnswer, claim=f"On {family} {what}", family=family) for family, what in said)
    content = StudyContent(made(StudyAnswer, claims=claims), {})
    assert content.families == ["a", "b"]
    assert content.matrix == {"it is ahead": [claims[0], claims[1]], "it is needed": [None, claims[2]]}
    assert StudyContent(made(StudyAnswer, claims=claims[:1]), {}).families == []
