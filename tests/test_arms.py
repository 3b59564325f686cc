"""Arms: what each asks for, matched compute, and what they say of themselves."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from conftest import ARMS, ragged_task, tiny_config, tiny_training
from selfpretrain.arms.aeon_models import fitted
from selfpretrain.arms.arm import Setting
from selfpretrain.arms.bias import SLOPE
from selfpretrain.arms.classical_models import best_classical
from selfpretrain.arms.registry import arm_named, known_arms, reported_seeds
from selfpretrain.comparison.compare import compare
from selfpretrain.config import ObjectiveConfig, PhaseConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.model.groups import ENCODER
from selfpretrain.tasks.load import load_task
from selfpretrain.training.flops import step_flops


def test_arms_say_all_that_figures_and_sentences_need_and_contrast_with_arms_there_are():
    for name, arm in known_arms().items():
        assert arm.name == name
        assert arm.title[0].isupper()
        assert arm.says
        assert (arm.train is None) != (arm.fit is None)
        assert {versus.against for versus in arm.contrasts} <= set(known_arms()) - {name}
        assert Figure().subplots().plot([0], [0], arm.marker)[0].get_marker() == arm.marker
    looks = [(arm.colour, arm.marker) for arm in known_arms().values()]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks)


def test_no_torch_is_needed_to_know_them():
    code = "import sys, selfpretrain.arms.registry; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_each_arm_asks_for(tiny_task):
    of = {arm: tiny_training(tiny_task, arm) for arm in ARMS if arm_named(arm).train is not None}
    scratch = of["scratch"]
    assert scratch.start is None
    assert (of["spt"].start.groups, of["spt"].start.noise) == (ENCODER, False)
    assert replace(of["spt"], start=None) == scratch
    assert (of["spt"].source.seed, of["spt"].source.plan.lr) == (scratch.seed, scratch.plan.lr)
    assert replace(of["scratch-long"], plan=scratch.plan) == scratch
    assert replace(of["joint"], objective="labels", reconstruction=None) == scratch
    for start in ("mimetic", "mimetic-qk", "impulse"):
        assert of[start] == replace(scratch, model=replace(scratch.model, init=start))
    for arm, objective in {"cutmix": "cutmix", "smoothing": "smoothing", "augment": "masked-labels"}.items():
        assert of[arm] == replace(scratch, objective=objective)
    assert replace(of["joint-corrupted"], objective="labels", reconstruction=None) == scratch
    assert of["bias"] == replace(scratch, model=replace(scratch.model, proximity_bias=SLOPE))
    assert of["rotary"] == replace(scratch, model=replace(scratch.model, positions="rotary"))


def test_scratch_long_gets_the_total_compute_of_spt(tiny_task):
    settings = {"pretrain": PhaseConfig(duration="700", batch_size=16)}
    spt, long, scratch = (tiny_training(tiny_task, arm, **settings) for arm in ("spt", "scratch-long", "scratch"))
    label = step_flops(scratch, tiny_task)
    spent = sum(each.plan.steps * step_flops(each, tiny_task) for each in spt.chain)
    assert abs(long.plan.steps * label - spent) <= label / 2


def test_joint_has_nothing_to_mask_under_causal_prediction(tiny_task):
    setting = Setting(tiny_config(objective=ObjectiveConfig(objective="causal")), tiny_task)
    with pytest.raises(RequestError, match="masked or span"):
        arm_named("joint").train(setting, 0, 1e-2)


def test_an_unknown_arm_is_refused_with_those_there_are():
    with pytest.raises(SettingError, match="scratch, spt, scratch-long, joint, joint-corrupted, mimetic, "):
        arm_named("nope")


def test_arms_that_need_values_or_a_package_refuse_before_anything_is_written(tmp_path, tiny_task, monkeypatch):
    for arm in ("quant", "rocket"):
        with pytest.raises(RequestError, match=f"the arm {arm} reads values, and these sequences are symbols"):
            compare(tiny_task, tiny_config(arms=("scratch", arm)), out=tmp_path / "o")
        monkeypatch.setattr("selfpretrain.arms.aeon_models.find_spec", lambda name: None)
        with pytest.raises(RequestError, match=r"pip install 'selfpretrain\[aeon\]'"):
            compare(ragged_task("values"), tiny_config(arms=("scratch", arm)), out=tmp_path / "o")
        monkeypatch.undo()
    assert not (tmp_path / "o").exists()


def test_a_classifier_of_aeon_is_asked_for_series_by_channel_with_padding_at_the_mean():
    """A stand-in with aeon's interface: what it is given, and what is made of its probabilities."""
    seen = []

    class NearestMean:
        def fit(self, x, y):
            seen.append(x)
            self.means = np.stack([x[y == c].mean(0) for c in range(3)])

        def predict_proba(self, x):
            nearest = ((x[:, None] - self.means) ** 2).sum((2, 3)).argmin(1)
            return np.eye(3)[nearest]

    task = ragged_task("values")
    result, probabilities = fitted("quant", NearestMean(), task)
    train = task.train
    assert seen[0].shape == (len(train), 2, train.x.shape[1])
    for row, length in enumerate(train.lengths):
        np.testing.assert_array_equal(seen[0][row, :, :length], train.x[row, :length].T)
        assert not seen[0][row, :, length:].any()
    assert probabilities.shape == (len(task.test), 3)
    assert result.test.acc == np.mean(probabilities.argmax(1) == task.test.y)


def test_a_classical_model_has_one_run_for_all_seeds():
    assert (reported_seeds("spt", 4), reported_seeds("classical", 4)) == (range(4), range(1))


# The classical model finds what is planted and nothing where nothing is.


def test_pairs_of_neighbours_give_proximity_away():
    result, probabilities = best_classical(load_task("proximity", sequences=600))
    assert result.test.acc > 0.95
    assert result.choice.startswith("1-5-gram tf-idf")
    assert probabilities.shape == (90, 2)
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_positions_give_away_what_n_grams_cannot_see(tmp_path):
    """The class is whether two far positions agree with a fixed pattern: the same symbols everywhere else."""
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 4, (400, 30)), np.arange(400) % 2
    x[:, 7] = y
    np.savez(tmp_path / "a.npz", x=x, y=y)
    result, _ = best_classical(load_task(tmp_path / "a.npz", kind="symbols"))
    assert result.choice.startswith("one-hot positions")
    assert result.test.acc == 1.0


def test_noise_stays_noise():
    task = load_task("noise", sequences=600, length=32)
    assert abs(best_classical(task)[0].test.acc - 0.5) < 4 * (0.25 / len(task.test)) ** 0.5


def test_digits_are_easy():
    result, _ = best_classical(load_task("digits"))
    assert result.test.acc > 0.95
    assert result.choice.startswith("summaries and raw values")


def test_sequences_of_all_lengths_and_kinds_are_taken():
    for kind in ("symbols", "values"):
        result, probabilities = best_classical(ragged_task(kind))
        assert np.isfinite(probabilities).all()
        assert "raw" not in result.choice
        assert "one-hot" not in result.choice


def test_nothing_in_it_is_random():
    task = load_task("skew", sequences=200)
    (first, a), (second, b) = best_classical(task), best_classical(task)
    assert replace(first, seconds_label=0.0) == replace(second, seconds_label=0.0)
    assert (a == b).all()
