# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The set-up installs what constraints*.txt lists with its hash, and nothing else."""

import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from tests.make import ROOT, run_make

PACKAGES = ("setuptools", "tiny")
"""setuptools is installed before the others; one of the name serves."""
PLACES = {"FIND_LINKS": "wheels", "CACHE_DIR": "cache"}


def write_wheel(folder, name):
    """Write a wheel with one module that is empty, and return its hash."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*wheel.namelist(), f"{info}/RECORD"]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def project(tmp_path):
    """Give a folder with the Makefile, an environment without packages, and two packages to install into it."""
    uv = pytest.importorskip("uv").find_uv_bin()
    pip = importlib.metadata.distribution("pip").locate_file("pip")
    for name in ("wheels", "csrc", "tools"):
        (tmp_path / name).mkdir()
    (tmp_path / "tools" / "pip").symlink_to(str(pip))
    subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, ".venv"], cwd=tmp_path, check=True)
    (tmp_path / ".venv/bin/uv").symlink_to(uv)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    entries = [f"{name}==1.0 \\\n    --hash=sha256:{write_wheel(tmp_path / 'wheels', name)}\n" for name in PACKAGES]
    (tmp_path / "constraints.txt").write_text("".join(entries))
    return tmp_path


def make(project, *argv):
    """Run make with the packages of the folder alone."""
    uv = {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_DEFAULT_INDEX": "https://none.invalid"}
    pip = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PYTHONPATH": "tools"}
    places = {f"{tool}_{name}": place for tool in ("UV", "PIP") for name, place in PLACES.items()}
    return run_make(*argv, cwd=project, **uv, **pip, **places)


def installed(project):
    return {name for name in PACKAGES for _ in project.glob(f".venv/lib/*/site-packages/{name}-1.0.dist-info")}


def test_packages_with_the_hashes_that_are_listed_are_installed(project):
    done = make(project, "-o", ".venv/.created", ".venv/.installed")
    assert done.returncode == 0, done.stderr
    assert installed(project) == set(PACKAGES)
    assert (project / ".venv/.installed").exists()


def assert_refused(project, done, by_uv, by_pip):
    assert done.returncode != 0
    uv, pip = done.stderr.split("uv could not do it; trying pip")
    assert by_uv in uv and by_pip in pip
    assert "tiny" not in installed(project)
    assert not (project / ".venv/.installed").exists()


def test_a_package_of_another_hash_is_refused_by_uv_and_then_by_pip(project):
    path = project / "constraints.txt"
    head, digest = path.read_text().rstrip().rsplit(":", 1)  # of the package that comes last
    path.write_text(f"{head}:{digest[::-1]}\n")
    done = make(project, "-o", ".venv/.created", ".venv/.installed")
    assert_refused(project, done, "Hash mismatch", "DO NOT MATCH THE HASHES")


def test_a_package_without_a_hash_is_refused_by_uv_and_then_by_pip(project):
    (project / "constraints-physx.txt").write_text("tiny==1.0\n")
    done = make(project, "-o", "setup", "physx")
    assert_refused(project, done, "all requirements must have a hash", "Hashes are required")


def test_every_package_has_a_hash_and_physx_has_the_versions_of_isaac_lab():
    for name in ("constraints.txt", "constraints-lerobot.txt", "constraints-physx.txt"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text())
        packages = [entry for entry in entries if not entry.startswith("#")]
        assert packages and all("==" in entry and "--hash=sha256:" in entry for entry in packages)
    pinned = re.findall(r"^(\S+==\S+)", (ROOT / "constraints-physx.txt").read_text(), flags=re.MULTILINE)
    wanted = [text.partition(";") for text in importlib.metadata.requires("isaaclab") or []]
    assert set(pinned) == {spec.strip() for spec, _, extra in wanted if extra.strip() == 'extra == "ovphysx"'}
