# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the code that runs comes from."""

import subprocess
from pathlib import Path

import pytest

from zprl.utils import provenance


@pytest.mark.parametrize(
    ("place", "ours"), [("source/zprl/zprl", True), ("env/lib/python3.12/site-packages/zprl", False), ("zprl", False)]
)
def test_the_commit_is_this_projects_and_not_that_of_the_project_it_is_installed_in(tmp_path, monkeypatch, place, ours):
    package = tmp_path / place / "utils"
    package.mkdir(parents=True)
    (package / "provenance.py").write_text("")

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    commit = git("rev-parse", "HEAD")
    assert provenance.git_commit() == (commit if ours else None)
    Path(package / "provenance.py").write_text("changed")
    assert provenance.git_commit() == (f"{commit}-dirty" if ours else None)
