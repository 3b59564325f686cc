"""A whole comparison: folder, summary, pairing, failures; and going on in the same folder."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from sklearn.metrics import f1_score, log_loss

import selfpretrain
from conftest import ARMS, tiny_config
from selfpretrain.arms.builtin import contrasts_of
from selfpretrain.comparison import plan
from selfpretrain.comparison.clean import unused
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.summary import Look
from selfpretrain.config import ObjectiveConfig, PhaseConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import DamagedError, NonFiniteError, RequestError, SettingError
from selfpretrain.explain.diagnose import diagnose
from selfpretrain.registry import ARMS as REGISTERED
from selfpretrain.report.write import write_report
from selfpretrain.train import work
from selfpretrain.watch import Done, Note, Planned
from test_stats import crossed_by_loops

pytestmark = pytest.mark.whole
ONE_RATE = TrainConfig(lr=(1e-2,))


def numbers(summary):
    """A summary without what depends on the clock, the machine's memory and how often the result was looked at."""
    for name in ("request", "looks", "level", "warnings", "verdict"):
        del summary[name]
    for contrast in summary["comparisons"]:
        del contrast["seeds_needed"]
    for entry in summary["arms"].values():
        del entry["seconds"], entry["peak_memory_bytes"]
    del summary["recommended"]["seconds"]
    return summary


def asked(task, out, **settings):
    """Compare; gives the summary's numbers and the names of the trainings that were done."""
    events = []
    result = compare(task, tiny_config(**settings), out=out, watch=events.append)
    return numbers(result.summary), [event.job for event in events if isinstance(event, Done)]


def test_the_folder_holds_what_is_promised(everything, tiny_task):
    result, _ = everything
    names = {"summary.json", "config.json", "environment.json", "splits.csv", "best", "runs", "trainings"}
    assert {p.name for p in result.folder.iterdir() if p.name[0] != "."} == names
    header, *lines = (result.folder / "splits.csv").read_text().splitlines()
    assert header == "row,split"
    for name in ("train", "val", "test"):
        rows = [int(line.split(",")[0]) for line in lines if line.endswith(f",{name}")]
        assert rows == sorted(getattr(tiny_task, name).numbers)
    for arm in ARMS:
        for seed in REGISTERED[arm].reported_seeds(3):
            run = result.folder / "runs" / f"{arm}-seed{seed}"
            assert {"config.json", "result.json", "predictions.safetensors", "manifest.json", "DONE"} <= {
                path.name for path in run.iterdir()
            }
            if arm != "classical":
                assert {p.name for p in (run / "model").iterdir()} >= {"config.json", "codec.json", "model.safetensors"}
                rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                assert {row["phase"] for row in rows} == ({"pretrain", "label"} if arm == "spt" else {"label"})
    environment = json.loads((result.folder / "environment.json").read_text())
    assert {"python", "packages", "device", "command", "commit"} <= environment.keys()


def test_predictions_say_which_row_which_class_and_how_sure(everything, tiny_task):
    for arm, seed in (("spt", 1), ("classical", 0)):
        path = everything[0].folder / f"runs/{arm}-seed{seed}/predictions.safetensors"
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            assert json.loads(file.metadata()["classes"]) == list(tiny_task.classes)
        assert tensors["row"].tolist() == tiny_task.test.numbers.tolist()
        assert tensors["probabilities"].sum(1) == pytest.approx(np.ones(len(tiny_task.test)))
        assert tensors["predicted"].tolist() == tensors["probabilities"].argmax(1).tolist()
        hits = float(np.mean(tensors["predicted"] == tiny_task.test.y))
        assert hits == everything[0].summary["arms"][arm]["test_acc"][1]  # the one classical run stands for all


def test_the_summary_has_the_promised_keys(everything):
    summary = everything[0].summary
    assert summary == json.loads((everything[0].folder / "summary.json").read_text())
    assert summary["task"].keys() >= {
        *("name", "kind", "n_train", "n_val", "n_test", "length", "classes", "majority", "fingerprint")
    }
    for arm in ARMS:
        entry = summary["arms"][arm]
        for key in ("train_acc", "val_acc", "test_acc", "seconds"):
            assert len(entry[key]) == 3
        assert {"lr", "flops_pretrain", "flops_label"} <= entry.keys()
    declared = [(name, *versus) for name in ARMS for versus in contrasts_of(name) if versus.against in ARMS]
    said = [(c["arm"], c["against"], c["matched"], c["primary"]) for c in summary["comparisons"]]
    assert said == declared
    assert not summary["tested"]  # 12 steps of self-pretraining learn nothing
    assert "pretraining-learnt-nothing" in [warning["code"] for warning in summary["warnings"]]
    assert summary["verdict"]["answer"].startswith("Not tested")


def hits(folder, arm, y):
    """Which test rows every seed's run has right (3, N), from the files."""
    seeds = REGISTERED[arm].reported_seeds(3)
    runs = [folder / f"runs/{arm}-seed{min(k, seeds[-1])}/predictions.safetensors" for k in range(3)]
    return np.array([load_file(path)["predicted"] == y for path in runs], dtype=float)


def test_effects_and_intervals_follow_from_the_files(everything, tiny_task):
    summary = everything[0].summary
    for c in summary["comparisons"]:
        a, b = (np.array(summary["arms"][c[side]]["test_acc"]) for side in ("arm", "against"))
        assert c["effect"] == pytest.approx((a - b).mean())
        assert c["n_seeds"] == 3
        right, wrong = (hits(everything[0].folder, c[side], tiny_task.test.y) for side in ("arm", "against"))
        mean, low, high, p = crossed_by_loops((right - wrong).tolist())
        assert (c["effect"], *c["ci95"]) == pytest.approx((mean, max(-1, low), min(1, high)))
        assert c["p"] == pytest.approx(p)
        assert c["p_adjusted"] >= c["p"]
        assert c["seeds_ahead"] == sum(a > b)


def test_compute_is_counted_where_it_is_spent(everything):
    entries = everything[0].summary["arms"]
    assert entries["scratch"]["flops_pretrain"] == 0
    assert entries["spt"]["flops_label"] == entries["scratch"]["flops_label"]
    total = entries["spt"]["flops_pretrain"] + entries["spt"]["flops_label"]
    step = entries["scratch"]["flops_label"] / entries["scratch"]["steps_label"]
    assert abs(entries["scratch-long"]["flops_label"] - total) <= step / 2 + 1
    masked = entries["spt"]["flops_pretrain"] / entries["spt"]["steps_pretrain"]  # which joint has at every label step
    assert entries["joint"]["flops_label"] == pytest.approx(
        entries["scratch"]["flops_label"] + masked * entries["joint"]["steps_label"]
    )


def test_events_cover_the_whole_work(everything):
    _, events = everything
    planned = [name for event in events if isinstance(event, Planned) for name in event.costs]
    finished = [event.job for event in events if isinstance(event, Done)]
    assert sorted(planned) == sorted(finished)
    notes = [event.text for event in events if isinstance(event, Note) and event.job is not None]
    # Every run says what it scores, and at which rate; classical models have none.
    assert sum("test accuracy" in note for note in notes) == 3 * (len(ARMS) - 1) + 1
    assert sum("at learning rate" in note for note in notes) == 3 * (len(ARMS) - 1)


# One training is done once, whoever asks.


def test_the_same_request_again_does_nothing_and_says_the_same(everything, tiny_task):
    result, _ = everything
    stamps = {p: p.stat().st_mtime_ns for p in result.folder.rglob("result.json")}
    again, done = asked(tiny_task, result.folder, arms=ARMS)
    assert (again, done) == (numbers(result.summary), [])
    assert stamps == {p: p.stat().st_mtime_ns for p in result.folder.rglob("result.json")}


def test_more_seeds_another_arm_a_wider_grid_and_another_budget_train_what_is_missing(tmp_path, tiny_task):
    arms, wide = ("scratch", "spt"), TrainConfig(lr=(1e-3, 1e-2, 3e-2))
    shorter = replace(tiny_config().label, duration="10")
    steps = [
        ({"arms": arms, "seeds": 3}, 3 * 2 * 3),  # 3 seeds and 2 rates, of 3 trainings each
        ({"arms": arms, "seeds": 4}, 2 * 3),
        ({"arms": (*arms, "scratch-long"), "seeds": 4}, 4 * 2),
        ({"arms": (*arms, "scratch-long"), "seeds": 4, "train": wide}, None),
        ({"arms": arms, "seeds": 3, "label": shorter}, None),
        ({"arms": arms, "seeds": 3}, 0),
    ]
    summaries = []
    for settings, expected in steps:
        summary, done = asked(tiny_task, tmp_path / "o", **settings)
        summaries.append(summary)
        assert expected is None or len(done) == expected
        if "label" in settings:  # which changes labels alone: self-pretraining is there for all of them
            assert done
            assert not any(" pretrain " in name for name in done)
    assert summaries[-1] == summaries[0]
    for number in (3, 4):  # what was gathered step by step is what is trained at once, bit for bit
        fresh, _ = asked(tiny_task, tmp_path / f"fresh-{number}", **steps[number][0])
        assert summaries[number] == fresh


def test_the_report_covers_the_latest_request_alone_and_what_is_left_over_is_said(tmp_path, tiny_task):
    folder, events = tmp_path / "o", []
    config = tiny_config(train=ONE_RATE, arms=("scratch", "spt", "mimetic"))
    compare(tiny_task, config, out=folder)
    compare(tiny_task, config, out=folder, arms=("scratch", "spt"), seeds=2, watch=events.append)
    page = write_report(folder).read_text()
    assert "mimetic" not in page
    assert ComparisonFolder(folder).record.request.seeds == 2
    said = next(event.text for event in events if isinstance(event, Note) and "clean" in event.text)
    # Of mimetic 3 trainings, of seed 2 three more; and the folders of 3 + 2 runs.
    assert said.startswith(f"{3 + 3 + 3 + 2} trainings and runs")


def test_comparisons_that_differ_in_the_label_phase_train_each_self_pretraining_once(tmp_path, tiny_task):
    """As a study does it: a folder for each, and one store for all."""
    done = []
    for steps in (9, 10):
        events = []
        config = tiny_config(train=ONE_RATE, arms=("scratch", "spt"), label=PhaseConfig(duration=str(steps)))
        compare(tiny_task, config, out=tmp_path / f"study/{steps}", store=tmp_path / "study/t", watch=events.append)
        done += [event.job for event in events if isinstance(event, Done)]
    assert sum(" pretrain " in name for name in done) == 3
    assert sum(" label " in name for name in done) == 2 * 6
    folder = ComparisonFolder(tmp_path / "study/10")
    assert folder.store.resolve() == (tmp_path / "study/t").resolve()
    write_report(folder.path)
    sizes = {"sample": 20, "large_sample": 20, "max_lag": 2, "sections": ("data", "attention")}
    assert len(diagnose(folder.path, **sizes).table)


# The store keeps what it is given.


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("runs/spt-seed1/result.json", "flip"),
        ("runs/spt-seed1/model/model.safetensors", "cut"),
        ("runs/classical-seed0/predictions.safetensors", "cut"),
        ("trainings/*/weights.safetensors", "flip"),
        ("trainings/*/metrics.jsonl", "cut"),
    ],
)
def test_damage_is_mended_by_compare_and_refused_by_the_report(comparison, tiny_task, name, damage):
    config = ComparisonFolder(comparison).record.request
    before = numbers(json.loads((comparison / "summary.json").read_text()))
    for contrast in before["comparisons"]:
        contrast["outcome"] = "no detectable effect"  # as it was before conftest wrote a gain into it
    path = sorted(comparison.glob(name))[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    if name.startswith("runs"):
        with pytest.raises(DamagedError, match=path.name):
            write_report(comparison)
    if name.startswith("trainings") or "classical" not in name:
        with pytest.raises(DamagedError, match=path.name):
            diagnose(comparison, sections=("data",), sample=20, large_sample=20, max_lag=2)
    events = []
    after = numbers(compare(tiny_task, config, out=comparison, watch=events.append).summary)
    for contrast in after["comparisons"]:
        contrast["outcome"] = "no detectable effect"
    assert after == before
    done = [event.job for event in events if isinstance(event, Done)]
    assert len(done) == name.startswith("trainings")
    if name.startswith("trainings"):
        assert any(str(path) in event.text for event in events if isinstance(event, Note))
    write_report(comparison)


@pytest.mark.parametrize("name", [".", "runs", "trainings", "runs/spt-seed0", "trainings/*"])
def test_a_folder_of_ours_that_is_a_link_is_refused_and_its_target_untouched(comparison, tmp_path, tiny_task, name):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / ".dot").write_text("dear")
    path = comparison if name == "." else sorted(comparison.glob(name))[0]
    config = ComparisonFolder(comparison).record.request
    shutil.rmtree(path)
    path.symlink_to(target)
    with pytest.raises(RequestError, match="symbolic link"):
        compare(tiny_task, config, out=comparison)
    assert [path.name for path in target.iterdir()] == [".dot"]


# What ends otherwise.


def test_a_failing_run_ends_alone_and_its_seed_is_left_out(tmp_path, tiny_task, monkeypatch):
    real = work.train

    def sometimes(model, objective, feed, training, **how):
        if training.phase == "pretrain" and training.seed == 1:
            raise NonFiniteError("loss", "pretrain", 7)
        return real(model, objective, feed, training, **how)

    monkeypatch.setattr(work, "train", sometimes)
    summary, _ = asked(tiny_task, tmp_path / "o", train=ONE_RATE, arms=("scratch", "spt"), seeds=4)
    reason = "the training that it starts from failed: loss stopped being finite at step 7 of pretrain training"
    assert summary["arms"]["spt"]["failures"] == {"1": reason}
    assert [acc is None for acc in summary["arms"]["spt"]["test_acc"]] == [False, True, False, False]
    assert None not in summary["arms"]["scratch"]["test_acc"]
    assert summary["comparisons"][0]["n_seeds"] == 3
    write_report(tmp_path / "o")


def test_self_pretraining_that_learns_something_is_tested(tmp_path):
    """Whoever looks at any other position can fill in the masked ones: every sequence repeats one symbol."""
    y = np.arange(160) % 2
    x = np.repeat((2 * np.random.default_rng(0).integers(4, size=160) + y)[:, None], 12, axis=1)
    pretrain = PhaseConfig(duration="150", batch_size=32)
    config = tiny_config(train=ONE_RATE, arms=("scratch", "spt"), pretrain=pretrain)
    answer = compare(load_task(x, y), config, out=tmp_path / "o").answer
    assert answer.tested and not answer.verdict.answer.startswith("Not tested")
    assert "pretraining-learnt-nothing" not in {caveat.code for caveat in answer.warnings}


def test_a_range_of_seeds_goes_on_until_it_is_clear_and_the_same_command_finds_it(tmp_path, tiny_task):
    config = tiny_config(train=ONE_RATE, arms=("scratch", "mimetic"), seeds="3-6")  # nothing to be seen in so few steps
    events = []
    answer = compare(tiny_task, config, out=tmp_path / "o", watch=events.append).answer
    assert list(answer.looks.values()) == [(Look(3, 0.02), Look(6, 0.03))]
    assert answer.level == 0.03
    assert "after 3 seeds it is not clear at p < 0.02; going on" in [e.text for e in events if isinstance(e, Note)]
    assert len([event for event in events if isinstance(event, Done)]) == 6 * 2
    # The same command does nothing; as many seeds asked for at once are the same, but for the level.
    settings = {"train": ONE_RATE, "arms": ("scratch", "mimetic")}
    again, done = asked(tiny_task, tmp_path / "o", **settings, seeds="3-6")
    assert done == []
    fixed = compare(tiny_task, config, out=tmp_path / "o", seeds=6)  # takes the place of the range
    assert numbers(fixed.summary) == again
    folder = ComparisonFolder(tmp_path / "o")
    assert (folder.record.request.seeds, folder.record.request.looks) == (6, ())
    assert folder.summary.level == 0.03  # a look keeps its level


def test_a_range_of_seeds_stops_where_more_of_them_would_test_nothing(tmp_path, tiny_task):
    config = tiny_config(train=ONE_RATE, arms=("scratch", "spt"), seeds="3-6")  # SPT of so few steps learns nothing
    answer = compare(tiny_task, config, out=tmp_path / "o").answer
    assert ("pretraining-learnt-nothing" in {caveat.code for caveat in answer.warnings}, answer.tested) == (True, False)
    assert ComparisonFolder(tmp_path / "o").record.request.seeds == 3
    assert ComparisonFolder(tmp_path / "o").is_finished
    write_report(tmp_path / "o")


def test_workers_give_the_same_numbers_as_this_process(tmp_path, tiny_task):
    config = tiny_config(train=ONE_RATE, seeds=2)
    summaries = [numbers(compare(tiny_task, config, out=tmp_path / str(n), workers=n).summary) for n in (1, 2)]
    assert summaries[0] == summaries[1]


def test_a_refused_request_writes_nothing(tmp_path, tiny_task):
    with pytest.raises(RequestError, match="masked or span"):
        asked(tiny_task, tmp_path / "o", arms=("joint",), objective=ObjectiveConfig(objective="causal"))
    assert not (tmp_path / "o").exists()


def test_early_stopping_shows_in_the_compute_ratio(tmp_path, tiny_task):
    pretrain = PhaseConfig(duration="60", batch_size=16, evaluate_every="1steps", patience=1)
    summary, _ = asked(tiny_task, tmp_path / "o", train=ONE_RATE, pretrain=pretrain)
    total = next(c for c in summary["comparisons"] if c["matched"] == "total compute")
    assert total["compute_ratio"] < 0.98


def test_the_public_names_are_there():
    assert selfpretrain.compare is compare
    assert selfpretrain.load_task("noise", sequences=50).name == "noise"
    with pytest.raises(AttributeError):
        _ = selfpretrain.nonsense


def test_a_changed_request_that_was_interrupted_is_not_finished(tmp_path, tiny_task):
    """Neither report nor clean nor diagnose takes the old answer for the new request's, or its work for unused."""
    folder = tmp_path / "o"
    asked(tiny_task, folder, train=ONE_RATE, arms=("scratch",))

    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, Done) and event.job.startswith("mimetic"):
            raise Stop

    with pytest.raises(Stop):
        compare(tiny_task, tiny_config(train=ONE_RATE, arms=("scratch", "mimetic")), out=folder, watch=stop)
    for use in (write_report, diagnose, lambda path: unused(ComparisonFolder(path))):
        with pytest.raises(RequestError, match="not finished"):
            use(folder)
    _, done = asked(tiny_task, folder, train=ONE_RATE, arms=("scratch", "mimetic"))
    assert len(done) == 2  # of three
    write_report(folder)


def test_a_setting_that_there_is_not_is_refused_by_name(tmp_path):
    with pytest.raises(SettingError, match=r"lr 0\.003 is no setting of compare; they are"):
        compare("noise", lr=0.003, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_rows_of_ones_own_are_compared_with_the_preset_small_and_timed_first(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "LONG_COST", 1e9)

    class Stop(Exception):
        pass

    lines = []

    def stop(event):
        if isinstance(event, Planned):
            raise Stop
        if isinstance(event, Note):
            lines.append(event.text)

    task = load_task([[k % 3, 1, 2, k % 5] for k in range(60)], [k % 2 for k in range(60)], kind="symbols")
    for given in ({}, {"config": tiny_config()}):
        lines.clear()
        with pytest.raises(Stop):
            compare(task, **given, seeds=1, arms=("scratch",), out=tmp_path / str(len(given)), watch=stop)
        steps = next(line for line in lines if line.startswith("steps: "))
        expected = "9 of label training" if given else "2000 of label training"
        assert expected in steps
        assert ("; about " in steps) == (not given)
    summary = compare(task, seeds=1, arms=("classical",), out=tmp_path / "classical").summary
    assert list(summary["arms"]) == ["classical"]


@pytest.mark.parametrize("metric", ["macro_f1", "log_loss"])
def test_the_metric_that_was_asked_for_picks_and_decides(tmp_path, metric):
    generator = np.random.default_rng(0)
    y = generator.choice(3, 240, p=(0.6, 0.3, 0.1))
    rows = [[int(generator.integers(4)) if generator.random() < 0.5 else int(c) for _ in range(6)] for c in y]
    task = load_task(rows, y.tolist(), kind="symbols")
    config = tiny_config(arms=("scratch", "spt", "classical"), metric=metric, class_weights="balanced")
    done = compare(task, config, out=tmp_path / "o")
    summary = done.summary

    def score(labels, p):
        return f1_score(labels, p.argmax(1), average="macro") if metric == "macro_f1" else -log_loss(labels, p)

    test, val = {}, {}
    for arm in config.arms:
        for seed in range(1 if arm == "classical" else 3):
            run = done.folder / f"runs/{arm}-seed{seed}"
            tensors = load_file(run / "predictions.safetensors")
            test[arm, seed] = score(task.test.y, tensors["probabilities"])
            val[arm, seed] = score(task.val.y, tensors["val.probabilities"])
            rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            if labels := [row["val_score"] for row in rows if row["phase"] == "label"]:
                assert val[arm, seed] == pytest.approx(max(labels), abs=1e-6)  # the best checkpoint by the metric
        given = [abs(value) for (of_arm, _), value in test.items() if of_arm == arm]
        assert summary["arms"][arm]["scores"][metric][: len(given)] == pytest.approx(given)
        confusion = np.array(summary["arms"][arm]["confusion"])
        assert confusion.sum(1).tolist() == (3 * np.bincount(task.test.y)).tolist()
    first = summary["comparisons"][0]
    assert (summary["metric"], first["arm"], first["against"]) == (metric, "spt", "scratch")
    assert first["effect"] == pytest.approx(np.mean([test["spt", k] - test["scratch", k] for k in range(3)]))
    use = done.answer.recommended
    assert use.val == pytest.approx(val[use.arm, use.seed], abs=1e-6)
    assert use.test == pytest.approx(test[use.arm, use.seed])
    page = write_report(done.folder).read_text()
    assert "What spt takes each class for" in page and "calibration" in page
