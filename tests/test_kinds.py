"""Kinds of data: what the model sees of a masked sequence, and what an error costs."""

import math

import pytest
import torch

from conftest import spec
from selfpretrain.config import ObjectiveConfig
from selfpretrain.kinds import KINDS

MASK = torch.tensor([[True, False, True]])


def test_masked_symbols_show_the_masks_id():
    assert KINDS["symbols"].hide(torch.tensor([[1, 2, 3]]), MASK, spec()).tolist() == [[6, 2, 6]]
    assert KINDS["bytes"].hide(torch.tensor([[1, 2, 3]]), None, spec()).tolist() == [[1, 2, 3]]


def test_masked_values_show_the_mean_and_a_flag():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    assert KINDS["values"].hide(x, MASK, spec("values")).tolist() == [[[0, 0, 1], [3, 4, 0], [0, 0, 1]]]
    assert KINDS["values"].hide(x, None, spec("values"))[..., 2].tolist() == [[0, 0, 0]]


def test_losses_by_hand():
    logits, truth = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0]]), torch.tensor([0, 1])
    found = KINDS["symbols"].losses(logits, truth, ObjectiveConfig())
    assert found.tolist() == pytest.approx([math.log(4), math.log(2)])
    errors = torch.tensor([[1.0, -2.0]])
    for name, expected in (("l1", [1.0, 2.0]), ("l2", [1.0, 4.0])):
        found = KINDS["values"].losses(errors, torch.zeros(1, 2), ObjectiveConfig(value_loss=name))
        assert found[0].tolist() == expected


def test_layers_have_the_stated_widths():
    assert KINDS["symbols"].embedding(spec(), 8).weight.shape == (7, 8)
    assert KINDS["values"].embedding(spec("values"), 8).weight.shape == (8, 3)
    assert (KINDS["symbols"].targets(spec()), KINDS["values"].targets(spec("values"))) == (6, 2)
