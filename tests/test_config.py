"""Settings: durations, and what is refused."""

import pytest

from selfpretrain.config import CompareConfig, DiagnoseConfig, Duration, ModelConfig, ObjectiveConfig, PhaseConfig
from selfpretrain.errors import RequestError, SettingError


@pytest.mark.parametrize(
    ("text", "steps"), [("800", 800), ("800steps", 800), ("1 step", 1), ("2epochs", 20), ("0.5epochs", 5), ("25%", 50)]
)
def test_durations_by_hand(text, steps):
    assert Duration.parse(text).steps(epoch=10, whole=200) == steps


@pytest.mark.parametrize("text", ["soon", "", "1e3", "-4", "3weeks"])
def test_what_is_no_duration_is_none(text):
    assert Duration.parse(text) is None


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: PhaseConfig(duration="10%"), "duration"),
        (lambda: PhaseConfig(duration="0"), "duration"),
        (lambda: PhaseConfig(duration="9", warmup="soon"), "warmup"),
        (lambda: PhaseConfig(duration="9", batch_size=0), "batch_size"),
        (lambda: ModelConfig(width=9, heads=3), "width"),
        (lambda: ModelConfig(width=6, heads=2, positions="rotary"), "heads"),
        (lambda: ModelConfig(dropout=1.0), "dropout"),
        (lambda: ObjectiveConfig(mask_ratio=0.0), "mask_ratio"),
        (lambda: CompareConfig(arms="spt"), "arms"),
        (lambda: CompareConfig(arms=("spt", "spt")), "arms"),
        (lambda: CompareConfig(seeds=0), "seeds"),
        (lambda: CompareConfig(seeds=10_000), "seeds"),
        (lambda: CompareConfig(seeds="some"), "seeds"),
        (lambda: CompareConfig(seeds="2-10"), "seeds"),
        (lambda: CompareConfig(seeds="10-3"), "seeds"),
        (lambda: CompareConfig(seeds=7, looks=(3, 5, 10)), "seeds"),
        (lambda: CompareConfig(seeds=10, looks=(3, 4, 5, 10)), "seeds"),
        (lambda: CompareConfig(seeds=10, looks=(10, 5, 3)), "seeds"),
        (lambda: CompareConfig(model=ModelConfig(pooling="cls", causal=True)), "pooling"),
        (lambda: DiagnoseConfig(sections="data"), "sections"),
        (lambda: DiagnoseConfig(grid=(3,)), "grid"),
        (lambda: DiagnoseConfig(sample=3), "sample"),
    ],
)
def test_a_refusal_names_the_setting_and_is_a_request_error(make, setting):
    with pytest.raises(SettingError) as caught:
        make()
    assert caught.value.setting == setting
    assert isinstance(caught.value, RequestError)
    assert str(caught.value).startswith(setting)


@pytest.mark.parametrize(
    ("text", "looks"), [("3-10", (3, 5, 10)), ("4-6", (4, 6)), ("3-4", (3, 4)), ("5-21", (5, 10, 21))]
)
def test_a_range_of_seeds_is_looked_at_at_most_three_times(text, looks):
    config = CompareConfig(seeds=text)
    assert (config.seeds, config.looks) == (looks[-1], looks)


def test_a_number_of_seeds_is_one_look():
    assert CompareConfig(seeds="4") == CompareConfig(seeds=4)
    assert CompareConfig(seeds=4).looks == ()


def test_predicting_the_next_position_makes_attention_causal():
    assert CompareConfig(objective=ObjectiveConfig(objective="causal")).causal
    assert CompareConfig(model=ModelConfig(causal=True)).causal
    assert not CompareConfig().causal
