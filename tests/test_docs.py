# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the documents tell users to type is taken by the programs they name, up to where a simulator would start.

Those of docs/deploy.md in Python and C++ run as they are printed: in tests/deploy/test_docs.py and tests/runtime.
"""

import contextlib
import functools
import io
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import pytest
from tests.make import ROOT, run_make

from zprl.commands import cli
from zprl.deploy import verify
from zprl.deploy.formats import FORMATS, parse_formats
from zprl.evaluation.video import check_format
from zprl.rl.methods import ALGORITHMS, METHODS, configure
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.robustness.catalogue import disturbances_of, parse_disturbances
from zprl.study.grid import ablation_variants, expand, method_variants
from zprl.study.launchers.launcher import parse_options
from zprl.study.study import chosen_tasks
from zprl.utils.errors import NotInstalledError, ZprlError

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TASK = "Zprl-Lift-Franka"
PROGRAM = re.compile(r"(python|torchrun|make|zprl|scripts/\w+\.\w+|cmake) ")
PLACEHOLDERS = {"S": "1", "N": "2", "NAME": "zprl", "M": "action_residual", "A": "sac"}
"""What stands for the placeholders whose values are looked at."""


# -- what the documents say --------------------------------------------------------------------------------------------


def joined(lines: str) -> str:
    """Put what goes on in the next line into one line: after a backslash, or far to the right."""
    return re.sub(r"\\\n *|\n {20,}", " ", lines)


def commands_of(text: str) -> Iterator[str]:
    """Yield the command lines of a document: those of shell blocks, and those that stand in a sentence."""
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE):
        for line in joined(block).splitlines():
            yield re.sub(r"^for .*?; do (.*); done$", r"\1", line.strip())
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        if PROGRAM.match(span) and not span.endswith("zprl NAME"):
            yield " ".join(span.split())


def documented_commands() -> dict[str, list[str]]:
    """Return all command lines, and where each stands."""
    found: dict[str, list[str]] = {}
    for path in DOCUMENTS:
        for line in commands_of(path.read_text()):
            found.setdefault(line, []).append(str(path.relative_to(ROOT)))
    for name in cli.NAMES:
        for line in joined(cli.find_command(name).description or "").splitlines():
            for example in re.findall(r"(?:python scripts/|torchrun ).*", line):
                found.setdefault(example, []).append(f"{name} --help")
    return found


def documented_options() -> set[str]:
    """Return the settings that stand in sentences, such as "agent.steering.scale" or "policy.solver=heun"."""
    spans = [span for path in DOCUMENTS for span in re.findall(r"`([^`\n]+)`", path.read_text())]
    options = {match[0] for span in spans for match in re.finditer(r"\b(agent|policy|env)(\.\w+)+(=[^\s\"]+)?$", span)}
    return options - {form.file for form in FORMATS.values()}


def variants(words: list[str]) -> Iterator[list[str]]:
    """Yield the command lines that one with optional parts ("[--seed S]") and alternatives ("cpu|cuda") stands for."""
    choices = [[PLACEHOLDERS.get(c, c) for c in word.strip("[]").split("|")] for word in words]
    for number in range(max(map(len, choices))):
        yield [choice[number % len(choice)] for choice in choices]


# -- what the programs take --------------------------------------------------------------------------------------------


@functools.cache
def session(overrides: tuple[str, ...] = (), method: str = "zprl", algorithm: str = "ppo", task: str = TASK):
    """Resolve a task with Hydra overrides, which refuses unknown ones and values that do not fit."""
    from zprl.runs.session import TaskSession

    return TaskSession(task, "cpu", overrides, method=method, algorithm=algorithm)


def check_command(name: str, argv: list[str]) -> None:
    """Parse a command's arguments, and hand on what its own modules check before anything is started."""
    options, overrides = cli.find_command(name).parse(argv)
    for task in chosen_tasks(options) if name == "study" else [getattr(options, "task", None) or TASK]:
        if task != TASK:
            with contextlib.suppress(NotInstalledError):
                session(task=task)  # which refuses one that does not exist
    if name == "study":
        parse_options(options.launcher_options)
        made = (
            ablation_variants(options.ablation, options.values, options.algos or ["sac"])
            if options.ablation
            else method_variants(options.methods, options.algos or ["ppo", "sac"])[0]
        )
        expand(made, options.seeds)
    elif name == "profile_kernels":
        with mock.patch("torch.cuda.device_count", return_value=1):
            options.settings().check()
    elif name == "export":
        parse_formats(options.format)
    elif name == "sim2real" and options.disturbances is not None:
        session(task=task)  # which registers what the task brings along
        parse_disturbances(options.disturbances, disturbances_of(task))
    elif name == "play" and options.video is not None:
        check_format(options.video)
    if overrides or name == "train":
        method, algorithm = getattr(options, "method", None), getattr(options, "algo", None)
        session(tuple(overrides), method or "zprl", algorithm or "ppo", getattr(options, "task", None) or TASK)


def check(line: str) -> None:
    """Refuse a command line that its program would refuse."""
    line = re.sub(r"\$\w+", "1", line)  # a variable of the shell
    for words in variants(shlex.split(line, comments=True)):
        while re.match(r"[A-Z_]+=", words[0]):  # an environment variable
            del words[0]
        check_words(words)


def check_words(words: list[str]) -> None:
    """See :func:`check`."""
    program, *argv = words
    if program == "torchrun":
        from torch.distributed.run import get_args_parser

        run = get_args_parser().parse_args(argv)
        check_words(["python", run.training_script, *run.training_script_args])
    elif Path(program).name == "python" and argv[0].startswith("scripts/"):
        if not (ROOT / argv[0]).is_file():
            raise ZprlError(f"there is no {argv[0]}.")
        check_command(Path(argv[0]).stem, argv[1:])
    elif program == "python" and argv[:2] == ["-m", "zprl"]:
        check_command(argv[2], argv[3:])
    elif program == "python" and argv[:2] == ["-m", "zprl.deploy.verify"]:
        verify.parse(argv[2:])
    elif program == "python" and argv[0] == "-c":
        with contextlib.redirect_stdout(io.StringIO()):
            exec(argv[1], {})
    elif program == "zprl" and len(argv) == 1:  # in a sentence, for any arguments
        cli.find_command(argv[0])
    elif program == "zprl":
        check_command(argv[0], argv[1:])
    elif program.startswith("scripts/"):
        if not (ROOT / program).is_file():
            raise ZprlError(f"there is no {program}.")
    elif program == "make":
        # All but the set-up, in the form of the commands that it would run.
        made = run_make("-n", "-o", "setup", *argv)
        if made.returncode:
            raise ZprlError(made.stderr)
        for command in made.stdout.splitlines():
            if command.startswith(".venv/bin/python scripts/"):
                check(command)
    elif program == "cmake":
        known = (ROOT / "CMakeLists.txt").read_text()
        for name in re.findall(r"-D(ZPRL_\w+)=", " ".join(argv)):
            if name not in known:
                raise ZprlError(f"CMakeLists.txt knows no {name}.")


@functools.cache
def learners() -> list[ZprlRunnerCfg]:
    """Return the settings of every method with every learner that it goes with."""
    made = []
    for method, algorithm in itertools.product(METHODS, ALGORITHMS):
        if algorithm not in METHODS[method].refusals:
            made.append(ZprlRunnerCfg())
            configure(made[-1], method, algorithm)
    return made


def check_option(option: str) -> None:
    """Refuse a setting, with or without a value, that no learner and no task has."""
    from zprl.sim.overrides import check_override

    path, _, value = option.replace("=N", "=2").partition("=")
    path = f"agent.{path}" if path.startswith("policy.") else path
    section, *names = path.split(".")
    refusal: Exception | None = None
    tasks = (TASK, f"{TASK}-Visual", "Zprl-Bench-AdroitDoor") if section == "env" else (TASK,)
    for agent, task in itertools.product(learners() if section == "agent" else [None], tasks):
        cfgs = {"env": session(task=task).env_cfg, "agent": agent}
        try:
            if value:
                check_override(f"{path}={value}", cfgs)
            else:
                functools.reduce(lambda n, k: n[k] if isinstance(n, Mapping) else getattr(n, k), names, cfgs[section])
            return
        except (ZprlError, AttributeError, KeyError) as error:
            refusal = error
    assert refusal is not None
    raise refusal


# -- both --------------------------------------------------------------------------------------------------------------

COMMANDS = documented_commands()


@pytest.mark.sim
@pytest.mark.parametrize("line", COMMANDS)
def test_what_is_to_be_typed_is_taken(line, capsys):
    try:
        check(line)
    except (ZprlError, SystemExit) as error:
        pytest.fail(f"{', '.join(COMMANDS[line])}: `{line}`: {error} {capsys.readouterr().err}")


def test_every_command_and_target_is_documented():
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert [name for name in cli.NAMES if f"python scripts/{name}.py" not in text] == []
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {target for target in targets if f"make {target}" not in text} == {"help", "clean"}  # which need no word


@pytest.mark.sim
@pytest.mark.parametrize("option", sorted(documented_options()))
def test_every_setting_that_is_mentioned_exists(option):
    check_option(option)


@pytest.mark.sim
@pytest.mark.parametrize(
    "line",
    [
        f"python scripts/train.py --task {TASK} --iterations 5",
        f"python scripts/train.py --task {TASK} [--algo ppo|dqn]",
        f"OMP_NUM_THREADS=1 python scripts/evaluate.py --task {TASK} agent.policy.num_steps=3  # more",
        f"torchrun --nproc_per_node=2 scripts/train.py --task {TASK} physics=bullet",
        "python scripts/train.py --task Zprl-Push-Franka",
        "python scripts/learn.py",
        f"zprl pretrain --task {TASK} agent.pretrain.num_steps=0",
        f"python -m zprl study --task {TASK} --methods zprl,teleport",
        "python scripts/study.py --suite three_arms --methods zprl",
        "python scripts/study.py --suite one_arm --methods zprl --launcher pbs",
        "python -m zprl.deploy.verify bundle --kinds tensorrt",
        "python scripts/profile_kernels.py --rivals tensorrt",
        f"python scripts/play.py --task {TASK} --video film.avi",
        "make deploy",
        'make train ARGS="--sead 1"',
        "scripts/verify_cpu.sh",
        "cmake -S . -B build -DZPRL_ROBOT=ON",
    ],
)
def test_what_a_program_would_refuse_is_found(line):
    with pytest.raises((ZprlError, SystemExit)):
        check(line)
    assert list(commands_of(f"Type\n```bash\n{line}\n```\n")) == [line]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text()):
        assert (document.parent / target).exists(), target
