# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the code that runs comes from."""

import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from zprl.utils import provenance

ROOT = Path(__file__).parents[2]


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_all(folder):
    """Make a folder a repository with one commit, and return that."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("place", "ours"), [("source/zprl/zprl", True), ("env/lib/python3.12/site-packages/zprl", False), ("zprl", False)]
)
@pytest.mark.parametrize("built", [None, "c0ffee-dirty"])
def test_the_commit_is_this_projects_and_not_that_of_the_project_it_is_installed_in(
    tmp_path, monkeypatch, place, ours, built
):
    package = tmp_path / place
    (package / "utils").mkdir(parents=True)
    code = package / "utils" / "provenance.py"
    code.write_text("")
    if built is not None:
        (package / provenance.COMMIT_FILE).write_text(f"{built}\n")
    commit = commit_all(tmp_path)
    monkeypatch.setattr(provenance, "__file__", str(code))
    assert provenance.git_commit() == (commit if ours else built)
    code.write_text("changed")
    assert provenance.git_commit() == (f"{commit}-dirty" if ours else built)


BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, f'build_{sys.argv[1]}')('dist')"


@pytest.fixture
def build(tmp_path):
    """Give what builds a distribution from a folder as pip does, but for the C++ part, and returns its file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cmake", "ninja"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)

    def run(folder, kind):
        before = set(folder.glob("dist/*"))
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run([sys.executable, "-c", BUILD, kind], cwd=folder, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        (made,) = set(folder.glob("dist/*")) - before
        return made

    return run


def commit_of_wheel(path, folder):
    """Return the commit that a wheel says when it is installed into a folder."""
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(folder)
    return runpy.run_path(str(folder / "zprl" / "utils" / "provenance.py"))["git_commit"]()


def test_wheels_and_source_archives_keep_the_commit_that_they_are_built_from(tmp_path, build):
    repository = tmp_path / "repository"
    code = repository / "source/zprl/zprl/utils/provenance.py"
    code.parent.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CMakeLists.txt"):
        shutil.copy(ROOT / name, repository)
    shutil.copy(ROOT / code.relative_to(repository), code)
    for folder in (code.parent, code.parents[1]):
        (folder / "__init__.py").touch()
    (repository / "csrc/core").mkdir(parents=True)
    (repository / "csrc/core/step.h").touch()
    (repository / ".gitignore").write_text("dist\nbuild\n*.egg-info\n")
    commit = commit_all(repository)

    wheel = build(repository, "wheel")
    assert commit_of_wheel(wheel, tmp_path / "installed") == commit
    with zipfile.ZipFile(build(repository, "editable")) as editable:
        assert not [name for name in editable.namelist() if name.endswith(provenance.COMMIT_FILE)]
    with code.open("a") as file:
        file.write("# changed\n")
    archive = build(repository, "sdist")
    git(repository, "checkout", "-q", ".")
    assert git(repository, "status", "--porcelain") == ""  # nothing was written beside the sources

    foreign = tmp_path / "foreign"
    with tarfile.open(archive) as sources:
        sources.extractall(foreign, filter="data")
    commit_all(foreign)
    (unpacked,) = foreign.glob("zprl-*")
    assert (unpacked / "csrc/core/step.h").exists() and (unpacked / "CMakeLists.txt").exists()
    assert commit_of_wheel(build(unpacked, "wheel"), foreign / "installed") == f"{commit}-dirty"
