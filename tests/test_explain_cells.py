"""The matrix of transplants: every group alone and left out, and the controls."""

import pytest

from selfpretrain.explain.cells import all_but, alone, cells, everything
from selfpretrain.model.groups import ENCODER


@pytest.mark.parametrize("groups", [ENCODER, tuple(group for group in ENCODER if group != "positions")])
def test_the_matrix_has_every_group_alone_and_left_out_free_and_frozen_and_its_controls(groups):
    matrix = cells(groups)
    assert len({cell.name for cell in matrix}) == len(set(matrix)) == len(matrix)
    assert len({cell.words for cell in matrix}) == len(matrix)
    for group in groups:
        rest = tuple(each for each in groups if each != group)
        for taken, maker in (((group,), alone(group)), (rest, all_but(group, groups))):
            mine = [cell for cell in matrix if cell.donor == "spt" and cell.taken == taken]
            assert {cell.frozen for cell in mine} == {(), taken}
            assert maker in mine and not maker.frozen
        assert alone(group, frozen=True) in matrix
    assert all(set(cell.taken) <= set(groups) for cell in matrix)
    assert {(cell.donor, cell.taken, cell.frozen) for cell in matrix if cell.donor != "spt"} == {
        *(("shuffled", ("query-key",), frozen) for frozen in ((), ("query-key",))),
        *(("random", ("query-key",), frozen) for frozen in ((), ("query-key",))),
        ("shuffled", groups, ()),
        ("maps", (), ()),
        *(("handmade", (), frozen) for frozen in ((), ("query-key",))),
    }
    # Nothing taken is the arm scratch, and everything, free, the arm spt.
    assert everything(groups) not in matrix
    assert {cell.frozen for cell in matrix if cell.donor == "spt" and cell.taken == groups} == {groups, ("query-key",)}
