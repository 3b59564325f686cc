"""The machine: devices, threads, what is written down of it."""

import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from selfpretrain import machine
from selfpretrain.errors import SettingError


def test_an_absent_device_is_refused_with_those_that_are_there():
    assert machine.resolve_device("cpu") == "cpu"
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that should be missing")
    with pytest.raises(SettingError, match="available: cpu"):
        machine.resolve_device("cuda")


def test_auto_is_the_first_that_is_there(monkeypatch):
    assert machine.resolve_device("auto") in ("cuda", "mps", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.resolve_device("auto") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert machine.resolve_device("auto") == "cpu"


def test_threads_are_limited_and_given_back():
    torch.set_num_threads(2)
    with machine.threads(1):
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert torch.get_num_threads() == 2


def test_memory_is_known_here_and_unknown_where_the_system_does_not_say(monkeypatch):
    held = torch.zeros(10_000_000)
    assert machine.peak_memory_bytes("cpu") > held.numel() * 4
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory_bytes("cpu") is None


def test_the_environment_names_versions_and_the_commit():
    environment = machine.environment("cpu")
    assert torch.__version__.startswith(environment["packages"]["torch"].split("+")[0])
    assert environment["device"] == "cpu"
    assert environment["commit"] is None or len(environment["commit"]) == 40
