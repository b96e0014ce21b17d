# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands as a user names them, before any of them starts a simulator."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zprl.commands import cli, pretrain, train
from zprl.commands.evaluate import EvaluateOptions
from zprl.commands.profile_kernels import ProfileKernelsOptions
from zprl.commands.sim2real import Sim2RealOptions
from zprl.study.options import StudyOptions
from zprl.study.scheduler import ZPRL
from zprl.utils import processes
from zprl.utils.provenance import command_line

from .conftest import SCRIPTS, TASK, call

REQUIRED = {
    "benchmark_physics": {"engines": ("mujoco",), "task": TASK},
    "convert": {"files": (Path("model_4.pt"),)},
    "convert_demos": {"from_path": Path("a.hdf5"), "to_path": Path("b.hdf5")},
    "export_lerobot": {"bundle": Path("bundle"), "output": Path("lerobot")},
    "export": {"task": TASK, "output": Path("bundle")},
    "import_base": {"source": "lerobot:checkpoint", "output": Path("bases/lift")},
    "list_tasks": {},
    "profile_kernels": {},
    "profile_learner": {},
    "sim2real": {"task": TASK, "bundle": Path("bundle")},
    "train_expert": {"task": TASK, "output": Path("expert.safetensors")},
    "summarize": {"runs": (Path("a"), Path("b"))},
}
"""Options that a command must be given; of the others it is the task."""

POSITIONAL = {
    "runs": "RUN",
    "engines": "ENGINE",
    "files": "PATH",
    "from_path": "A",
    "to_path": "B",
    "source": "lerobot:PATH",
}
"""Options without a name on the line, and what stands for them in ``--help``."""


def required(name):
    """Return a command's required options, and the command line that gives them."""
    values = REQUIRED.get(name, {"task": TASK})
    argv = []
    for option, value in values.items():
        if option in POSITIONAL:
            argv += map(str, value) if isinstance(value, tuple) else [str(value)]
        else:
            argv += [f"--{option}", str(value)]
    return values, argv


def status_of(function, *arguments):
    with pytest.raises(SystemExit) as stop:
        function(*arguments)
    return stop.value.code


def run_zprl(*argv, cwd=None, **environment):
    """Run ``python -m zprl`` in a process of its own."""
    return subprocess.run([*ZPRL, *argv], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("name", cli.NAMES)
def test_help_names_every_option_in_the_script_and_on_the_console(name, capsys, tmp_path):
    script = call(name, ["--help"], tmp_path)
    assert script.status == 0 and script.out.startswith(f"usage: {name}.py ")
    console = name.replace("_", "-")
    assert status_of(cli.run_command, console, ["--help"], f"zprl {console}") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: zprl {console} ")
    for shown in (text, script.out):
        for field in dataclasses.fields(cli.find_command(name).options):
            positional = POSITIONAL.get(field.name)
            assert (positional or f"--{field.name}") in shown.split("options:")[positional is None]
    assert cli.find_command(name).summary in text


def test_every_command_has_a_script_and_every_script_is_a_command():
    assert sorted(path.stem for path in SCRIPTS.glob("*.py")) == sorted(cli.NAMES)
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - {"__init__", "cli", "options"}
    assert modules == set(cli.NAMES)


def test_saying_what_there_is_loads_neither_torch_nor_a_simulator():
    program = (
        "import contextlib, sys\n"
        "from zprl.commands import cli\n"
        "sys.argv = ['zprl', '--help']\n"
        "cli.main()\n"
        "for name in cli.NAMES:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        cli.run_command(name, ['--help'])\n"
        "heavy = {'torch', 'numpy', 'isaaclab', 'warp', 'newton', 'mujoco', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == 1 + len(cli.NAMES)


def test_next_to_nothing_is_imported_before_ctrl_c_is_understood():
    """An interrupted import ends in its traceback unless :func:`zprl.utils.errors.run_cli` runs already."""
    program = "import sys; before = set(sys.modules); import zprl.commands.cli; print(*set(sys.modules) - before)"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ours = {"zprl", "zprl.commands", "zprl.commands.cli", "zprl.utils", "zprl.utils.errors"}
    # What the standard library's signal, threading and contextlib are made of; Python itself has loaded most of it.
    small = {"collections", "contextlib", "enum", "errno", "functools", "genericpath", "itertools", "keyword"}
    small |= {"operator", "os", "os.path", "posixpath", "reprlib", "signal", "stat", "threading", "types"}
    imported = {name for name in done.stdout.split() if not name.startswith("_")}
    assert ours <= imported <= ours | small


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_command_it_lists_all_with_a_line_each(argv, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zprl", *argv])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 120 for line in lines)
    listed = dict(line.split(maxsplit=1) for line in lines[lines.index("commands:") + 1 :])
    assert listed == {name.replace("_", "-"): cli.find_command(name).summary for name in cli.NAMES}


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("trian", " (did you mean train or pretrain?)."),
        ("list_taks", " (did you mean list-tasks or calibrate-task?)."),
        ("cli", "; `zprl --help` lists all."),
    ],
)
def test_an_unknown_command_is_refused_in_one_sentence(name, ending):
    done = run_zprl(name, "--task", TASK)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: there is no command '{name}'{ending}\n")


def test_a_command_comes_before_its_options():
    done = run_zprl("--task", TASK, "train")
    sentence = "error: a command comes before options such as --task; `zprl --help` lists the commands.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


def test_a_dash_may_stand_for_an_underscore():
    assert cli.find_command("collect-demos") is cli.find_command("collect_demos")


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cli.NAMES)
def test_the_defaults_of_the_parser_are_those_of_the_dataclass(name):
    command = cli.find_command(name)
    values, argv = required(name)
    assert command.parse(argv) == (command.options(**values), [])
    assert command.options.__dataclass_params__.frozen


@pytest.mark.parametrize("name", [name for name in cli.NAMES if required(name)[1] and name != "study"])
def test_what_is_required_is_asked_for(name, capsys):
    """All but a study, whose task, tasks or suite test_study.py asks for."""
    assert status_of(cli.find_command(name).parse, []) == 2
    assert "the following arguments are required: " in capsys.readouterr().err


def test_options_have_the_types_of_their_fields():
    argv = ["--task", TASK, "--seed", "3", "--viz", "newton", "--num_envs", "8", "--checkpoint", "run/model_4.pt"]
    argv += ["--base", "b.pt", "--json", "r.json", "env.x=1", "--episodes", "5", "physics=mujoco", "--headless"]
    expected = EvaluateOptions(
        task=TASK,
        seed=3,
        viz="newton",
        headless=True,
        num_envs=8,
        checkpoint="run/model_4.pt",
        base=Path("b.pt"),
        json=Path("r.json"),
        episodes=5,
    )
    assert cli.find_command("evaluate").parse(argv) == (expected, ["env.x=1", "physics=mujoco"])
    argv = ["--task", TASK, "--methods", "zprl, noise", "--seeds", "4,5", "--values", "0.5,1"]
    studied = StudyOptions(task=TASK, methods=("zprl", "noise"), seeds=(4, 5), values=(0.5, 1.0))
    assert cli.find_command("study").parse(argv) == (studied, [])
    argv = ["--shapes", "A, task:X", "--batch", "1,64", "--steps", "2", "--solver", "", "--threads", "2"]
    profiled = ProfileKernelsOptions(shapes=("A", "task:X"), batch=(1, 64), steps=(2,), solver=(), threads=2)
    assert cli.find_command("profile_kernels").parse(argv) == (profiled, [])
    argv = ["--task", TASK, "--bundle", "b", "--plot", "p.png", "--disturbances", "friction=2"]
    run = Sim2RealOptions(task=TASK, bundle=Path("b"), plot=Path("p.png"), disturbances="friction=2")
    assert cli.find_command("sim2real").parse(argv) == (run, [])


def test_there_is_one_recorded_seed_and_many_trained_ones():
    assert cli.find_command("collect_demos").parse(["--task", TASK])[0].seed == 0
    assert cli.find_command("train").parse(["--task", TASK])[0].seed is None


@pytest.mark.parametrize(
    ("name", "argv", "word"),
    [
        ("list_tasks", ["physics=mujoco"], "physics=mujoco"),
        ("train", ["--task", TASK, "--iterations", "5"], "--iterations"),
        ("train", ["--task", TASK, "physics"], "physics"),
        ("study", ["--task", TASK, "--seeds", "1,-1"], "-1 is not an integer of at least 0 and of at most 2147483647"),
        (
            "profile_kernels",
            ["--seed", str(2**31)],
            "2147483648 is not an integer of at least 0 and of at most 2147483647",
        ),
        ("study", ["--task", TASK, "--values", "1,x"], "invalid list of float value: '1,x'"),
        ("play", ["--task", TASK, "--policy", "expert", "--checkpoint", "base"], "not allowed with"),
        ("export", ["--task", TASK, "--output", "b", "--precision", "half"], "'half'"),
    ],
)
def test_wrong_arguments_are_refused(name, argv, word, capsys):
    assert status_of(cli.run_command, name, argv) == 2
    assert word in capsys.readouterr().err.splitlines()[-1]


# -- how a command ends ------------------------------------------------------------------------------------------------


def fail(error):
    def run(*arguments):
        raise error

    return run


@pytest.mark.parametrize(
    ("module", "advice"), [(train, "continue with --checkpoint latest"), (pretrain, "run the same command again")]
)
def test_after_ctrl_c_it_says_how_to_continue(module, advice, monkeypatch, capsys):
    monkeypatch.setattr(module, "COMMAND", dataclasses.replace(module.COMMAND, run=fail(KeyboardInterrupt())))
    assert status_of(cli.run_command, module.__name__.rsplit(".", 1)[1], ["--task", TASK]) == 130
    assert capsys.readouterr().err.endswith(f"; {advice}.\n")


@pytest.mark.parametrize(("num_failed", "status"), [(0, None), (2, 1)])
def test_a_study_with_failed_runs_ends_with_status_1(num_failed, status, monkeypatch):
    import zprl.study.study

    asked = []
    monkeypatch.setattr(zprl.study.study, "run_study", lambda *arguments: asked.append(arguments) or num_failed)
    try:
        cli.run_command("study", ["--task", TASK, "--methods", "zprl", "agent.x=1"])
        ended = None
    except SystemExit as stop:
        ended = stop.code
    assert ended == status
    assert asked == [(StudyOptions(task=TASK, methods=("zprl",)), ["agent.x=1"])]


def test_of_several_processes_the_first_alone_refuses_a_training():
    first, second = (run_zprl("train", "--num_envs", "0", RANK=str(rank), WORLD_SIZE="2") for rank in range(2))
    assert (first.returncode, second.returncode) == (2, 2)
    assert first.stderr.startswith("usage: zprl train ")
    assert second.stdout == second.stderr == ""


def test_idle_threads_sleep_unless_the_user_wants_them_to_spin(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    processes.let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    done = run_zprl("convert", "missing.pt", OMP_DISPLAY_ENV="TRUE")
    assert done.returncode == 2 and "missing.pt" in done.stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr, "what OpenMP had read when torch was loaded"


# -- without the repository --------------------------------------------------------------------------------------------


def test_the_processes_of_a_study_import_nothing_from_the_working_folder(tmp_path):
    for name in ("argparse", "zprl"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')\n")
    done = run_zprl("list-tasks", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: zprl list-tasks ")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["/home/me/zprl/scripts/study.py", "--name", "a b"], "python scripts/study.py --name 'a b'"),
        (["/venv/bin/zprl", "study", "--seeds", "0"], "zprl study --seeds 0"),
        (["/venv/lib/python3.12/site-packages/zprl/__main__.py", "study"], "python -m zprl study"),
    ],
)
def test_the_command_line_reads_as_it_is_typed(argv, line, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    assert command_line() == line


def test_the_wheel_takes_every_file():
    """What pyproject.toml says of packages and their data covers all that lies in the package, tasks included."""
    import fnmatch
    import tomllib

    root = Path(__file__).parents[2]
    setuptools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = setuptools["package-data"]["*"]
    package = root / setuptools["packages"]["find"]["where"][0] / "zprl"
    for folder, _, names in os.walk(package, followlinks=True):
        is_package = (Path(folder) / "__init__.py").is_file()
        for name in names:
            if name.endswith(".pyc"):
                continue
            if name.endswith(".py"):
                assert is_package, f"{folder} holds {name} but no __init__.py"
            else:
                assert any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for pattern in patterns), name
                assert is_package or any(pattern == f"**/*{Path(name).suffix}" for pattern in patterns), name
