# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reports of made-up runs whose numbers can be checked by hand."""

import json
import re

import pytest
from tests.crafted import spoilt

from zprl.study.grid import ablation_variants, method_variants
from zprl.study.manifest import StudyManifest, VariantRecord, load_manifest
from zprl.study.report import write_report
from zprl.study.results import load_results, read_run
from zprl.study.run_analysis import load_analyses
from zprl.utils.errors import ZprlError

MARKS = [100_000, 200_000]


def manifest_of(variants, seeds, **pinned):
    records = [
        VariantRecord(v, "base.safetensors", "ab" * 32, "demos.hdf5", 20, {"agent.steering.scale": 0.8})
        for v in variants
    ]
    values = {
        "task": "Zprl-Lift-Franka",
        "device": "cpu",
        "physics": "mujoco",
        "number of worlds": 256,
        "ablation": None,
        "overrides": [],
        "budget": 200_000,
        "evaluated at": MARKS,
        **pinned,
    }
    machine = {"cpu": "A Processor", "cores": 2, "versions": {"torch": "2.11.0"}}
    return StudyManifest("methods", values, records, seeds, [], ["c0ffee"], "python scripts/study.py", 2, machine)


def write_run(folder, seed, first, last, jerk=10.0, steps=MARKS, method="zprl"):
    """Write a result of ten episodes per evaluation: first and last are successes; the base policy has five."""
    folder.mkdir(parents=True)
    summary = {"episodes": 10, "low": 0.0, "high": 1.0, "velocity": 0.1, "acceleration": 1.0, "mean_steps": 80.0}
    result = {
        "seed": seed,
        "method": method,
        "base": {**summary, "rate": 0.5, "successes": 5, "jerk": 8.0},
        "steered": {**summary, "rate": last / 10, "successes": last, "jerk": jerk},
        "time_split": {"simulation": 0.75, "update": 0.25},
        "environment_steps": steps[-1],
        "history": {
            "evaluation_steps": steps,
            "evaluation_successes": [first, last],
            "evaluation_episodes": [10, 10],
            "evaluation_minutes": [2.0, 4.0 + seed],
        },
    }
    (folder / "result.json").write_text(json.dumps(result))


def rows_of(markdown, label):
    """Return the cells of all table rows that begin with a label."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if line.startswith("|")]
    return [row[1:] for row in rows if row[0] == label]


@pytest.fixture
def study(tmp_path):
    """Three seeds of one variant, one of another, whose other two are missing."""
    variants, _ = method_variants(["zprl", "noise"], ["ppo"])
    manifest = manifest_of(variants, [0, 1, 2])
    folder = tmp_path / "study"
    for seed, (first, last) in enumerate([(7, 9), (9, 10), (6, 8)]):
        write_run(folder / f"zprl_ppo_seed{seed}", seed, first, last, jerk=10.0 + seed)
    write_run(folder / "noise_ppo_seed0", 0, 5, 6)
    (folder / "noise_ppo_seed1").mkdir()
    (folder / "noise_ppo_seed1" / "train.log").write_text("RL: 1%\rRL: 2%\nerror: no space left on device.\n")
    manifest.save(folder)
    return manifest, folder, tmp_path / "report"


def test_the_tables_hold_what_can_be_computed_by_hand(study):
    manifest, folder, output = study
    write_report(manifest, folder, output)
    text = (output / "README.md").read_text()
    results, minutes = rows_of(text, "zprl, PPO")
    # Finals 90, 100, 80: mean 90, standard deviation 10, times 4.3027 / sqrt(3) = 24.8, cut at 100.
    # 80 % after 200k, 100k and 200k steps, 90 % after 200k, 100k and never.
    # Areas (50 + 2 * first + last) / 4: 70, 82.5 and 62.5, so 71.67 +- 4.3027 * 10.10 / sqrt(3).
    assert results == [
        *("3", "50.0", "90.0 [65.2, 100.0]", "167k", "150k (2 of 3)", "71.7 [46.6, 96.8]"),
        *("0.100", "1.00", "11.0", "80.0"),
    ]
    # Minutes 4, 5, 6: 5 +- 4.3027 / sqrt(3).
    assert minutes == ["5.0 [2.5, 7.5]", "75", "25"]
    (noise, _) = rows_of(text, "noise, PPO")
    assert noise[:6] == ["1", "50.0", "60.0", "> 200k", "> 200k", "52.5"]
    assert "- `noise_ppo_seed1`: error: no space left on device." in text
    assert "- `noise_ppo_seed2`:" in text
    assert "A Processor, 2 cores" in text and "c0ffee" in text
    for figure in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (output / figure).read_bytes().startswith(b"\x89PNG"), figure


def test_the_json_holds_the_runs_and_their_means(study):
    manifest, folder, output = study
    write_report(manifest, folder, output)
    report = json.loads((output / "report.json").read_text())
    zprl, noise = report["results"]
    assert zprl["steps_to"]["0.8"]["mean"] == pytest.approx(500_000 / 3)
    # Seeds 0 and 1 after 200k and 100k steps: standard error 50k, one degree of freedom, cut at no steps.
    assert zprl["steps_to"]["0.9"] == pytest.approx(
        {"mean": 150e3, "low": 0.0, "high": 150e3 + 12.7062 * 50e3, "count": 2}
    )
    assert zprl["final_success"]["count"] == 3
    assert [run["minutes"] for run in zprl["runs"]] == [[2.0, 4.0], [2.0, 5.0], [2.0, 6.0]]
    assert noise["final_success"] == {"mean": 0.6, "low": None, "high": None, "count": 1}
    assert set(report["missing"]) == {"noise_ppo_seed1", "noise_ppo_seed2"}


def test_a_study_without_any_result_has_a_report(study, tmp_path):
    manifest, _, output = study
    write_report(manifest, tmp_path / "nothing", output)
    assert "zprl_ppo_seed2" in (output / "README.md").read_text()
    assert not (output / "curves.png").exists()


def test_an_ablation_has_its_figure(tmp_path):
    manifest = manifest_of(ablation_variants("bottleneck", [0.1, 0.2], ["sac"]), [0], ablation="bottleneck")
    for name in ("zprl_sac", "bottleneck_0.1_sac", "bottleneck_0.2_sac"):
        write_run(tmp_path / "study" / f"{name}_seed0", 0, 6, 7)
    write_report(manifest, tmp_path / "study", tmp_path / "report")
    assert (tmp_path / "report" / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_base_policy_starts_from_nothing(tmp_path):
    write_run(tmp_path / "run", 0, 4, 8, method="scratch")
    run = read_run(tmp_path / "run" / "result.json", MARKS)
    assert (run.start, run.base["rate"]) == (0.0, 0.5)
    assert run.area == pytest.approx((0 + 2 * 0.4 + 0.8) / 4)


def test_minutes_of_a_run_that_did_not_record_them_at_its_evaluations(tmp_path):
    write_run(tmp_path / "run", 0, 5, 6)
    path = tmp_path / "run" / "result.json"
    result = json.loads(path.read_text())
    del result["history"]["evaluation_minutes"]
    result["history"] |= {"steps": [50_000, 150_000, 200_000], "minutes": [1.0, 4.0, 5.0]}
    path.write_text(json.dumps(result))
    assert read_run(path, MARKS).minutes == [2.5, 5.0]


def test_a_run_of_other_marks_is_refused(tmp_path):
    write_run(tmp_path / "run", 0, 5, 6, steps=[100_000, 190_000])
    with pytest.raises(ZprlError, match=r"evaluated at \[100000, 190000\]"):
        read_run(tmp_path / "run" / "result.json", MARKS)


def test_files_of_another_form_are_refused_or_do_not_matter(study):
    _, folder, output = study
    move = {measure: dict.fromkeys(("latent", "features", "actions"), 0.5) for measure in ("change", "distance")}
    plane = {"explained": 0.9, "demonstrations": [[0.0, 1.0]], "before": [[0.5, 0.5]], "after": [[1.0, 0.5]]}
    analysis = {"residual_scale": 0.8, "latent_rms": 1.0, "random": [move], "steered_visited": move}
    analysis |= {"base_visited": move, "maps": {"features": plane, "actions": plane}}
    run = folder / "zprl_ppo_seed0"
    (run / "latent_analysis.json").write_text(json.dumps(analysis))
    files = [
        (folder / "study.json", "study"),
        (run / "result.json", "result"),
        (run / "latent_analysis.json", "analys"),
    ]
    for path, word in files:
        original = path.read_text()
        for where, content in spoilt(json.loads(original)):
            path.write_text(json.dumps(content))
            try:
                again = load_manifest(folder)
                results = load_results(again, folder)[0], load_analyses(again, folder)
                assert results[0]
            except ZprlError as error:
                assert word in str(error) and str(folder) in str(error), where
        path.write_text(original)
    write_report(load_manifest(folder), folder, output)
    assert (output / "latent_maps.png").exists()


def test_a_manifest_is_read_as_it_was_written(study):
    manifest, folder, _ = study
    assert load_manifest(folder) == manifest
    path = folder / "study.json"
    values = json.loads(path.read_text())
    del values["launcher"]  # as before there were several
    path.write_text(json.dumps(values))
    assert load_manifest(folder) == manifest
    for name in ("launcher", "jobs"):
        path.write_text(json.dumps({**values, name: [1]}))
        with pytest.raises(ZprlError, match=f"damaged study.json \\({name} is not"):
            load_manifest(folder)


def test_runs_that_cannot_be_compared_are_refused(study):
    manifest, folder, _ = study
    earlier = load_manifest(folder)
    manifest.join(earlier, folder)
    manifest.seeds = [0, 1, 2, 3]  # more seeds may join
    manifest.join(earlier, folder)
    for name, value in (("budget", 300), ("overrides", ["env.x=1"])):
        other = manifest_of([record.variant for record in manifest.variants], [0], **{name: value})
        with pytest.raises(ZprlError, match=f"begun with {name}"):
            other.join(earlier, folder)
    manifest.variants[0].settings["agent.steering.scale"] = 0.4  # a new default
    with pytest.raises(ZprlError, match=r"begun with zprl_ppo's agent\.steering\.scale 0\.8, not 0\.4"):
        manifest.join(earlier, folder)
    manifest = load_manifest(folder)
    manifest.variants[1].base_checksum = "cd" * 32
    with pytest.raises(ZprlError, match="noise_ppo's base policy"):
        manifest.join(earlier, folder)


def test_variants_that_a_call_leaves_out_are_not_forgotten(study):
    whole, folder, _ = study
    names = [record.variant.name for record in whole.variants]
    part = manifest_of([whole.variants[0].variant], [0])
    part.commits = ["decade"]
    part.join(load_manifest(folder), folder)
    part.save(folder)
    again = load_manifest(folder)
    assert [record.variant.name for record in (*again.variants, *again.absent)] == names
    assert again.commits == ["c0ffee", "decade"]
    whole.variants[1].settings["agent.steering.scale"] = 0.4
    with pytest.raises(ZprlError, match="begun with noise_ppo's agent"):
        whole.join(again, folder)
    whole = manifest_of([record.variant for record in whole.variants], [0, 1])
    whole.join(again, folder)
    assert whole.absent == []


def test_a_damaged_manifest_is_refused(tmp_path):
    (tmp_path / "study.json").write_text('{"version": 1, "variants": [{}]}')
    with pytest.raises(ZprlError, match="damaged"):
        load_manifest(tmp_path)
    (tmp_path / "study.json").write_text('{"version": 0}')
    with pytest.raises(ZprlError, match="another version"):
        load_manifest(tmp_path)


def test_minutes_and_levels_of_a_run(study):
    manifest, folder, _ = study
    (zprl, _), _ = load_results(manifest, folder)
    assert zprl.curve_minutes() == [2.0, 5.0]
    assert [run.steps_to for run in zprl.runs] == [[200_000, 200_000], [100_000, 100_000], [200_000, None]]
    assert [point.mean for point in zprl.curve()] == pytest.approx([22 / 30, 0.9])
