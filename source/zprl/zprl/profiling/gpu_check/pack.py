# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A folder with all that the checks need, for a machine that has a GPU, torch, NumPy and pytest and no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zprl.profiling.gpu_check.checks import build_commands
from zprl.profiling.gpu_check.runner import run_limited
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json

MANIFEST = "pack.json"
"""Name of the file that makes a folder a pack: what it was made of."""

SITE = "site"
"""Folder of the packages that are carried."""

LIMIT = 64 << 20
"""Largest pack [bytes]."""

PACKAGES = ("prettytable", "wcwidth", "safetensors", "pytest-timeout", "pytest-xdist", "execnet")
"""Distributions that are carried: of what the checks import, all that a bare machine may lack."""

_SOURCES = (
    "scripts/verify_gpu.sh",
    "scripts/profile_kernels.py",
    "source/zprl/zprl",
    "tests/conftest.py",
    "tests/gpu",
    "tests/native/test_policy_step.py",
)
_BUILD_SECONDS = 3600.0
_IGNORED = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc", "tasks")  # tasks need the simulator


def make_pack(root: Path, target: Path, python: str) -> None:
    """Build everything and put it into a new folder, which is complete or absent.

    Args:
        root: The repository.
        target: The folder to make.
        python: Interpreter whose packages are built against and carried.

    Raises:
        ZprlError: If the folder exists or cannot be made, a tool or a package is missing, the build fails, or the
            pack is too large.
    """
    if not sys.platform.startswith("linux"):
        raise ZprlError("a pack is made on Linux only, as the machine that it is for runs it.")
    for tool in ("cmake", "nvcc", "c++"):
        if shutil.which(tool) is None:
            raise ZprlError(f"there is no {tool} on the PATH, and a pack is built with it; install it first.")
    with _new_folder(target) as folder:
        build = root / "build" / "verify-gpu"
        _build(root, build, python, folder / "source" / "zprl")
        for name in _SOURCES:
            _copy(root / name, folder / name)
        place = folder / "build" / "verify-gpu"
        place.mkdir(parents=True)
        for file in (build / "gpu_driver", *sorted(build.glob("*.blob"))):
            shutil.copy2(file, place)
        manifest = {"python": _python_of(python), "packages": _copy_packages(python, folder / SITE)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > LIMIT:
            raise ZprlError(
                f"the pack takes {size / 2**20:.0f} MiB, and {LIMIT >> 20} are the most that can be carried; build for "
                "fewer GPUs (TORCH_CUDA_ARCH_LIST)."
            )
    print(f"{target}: {size / 2**20:.1f} MiB. There: {target.name}/scripts/verify_gpu.sh")


def read_manifest(root: Path) -> dict[str, Any] | None:
    """Return what a pack was made of, or None if the folder is none.

    Raises:
        ZprlError: If the file is damaged.
    """
    path = root / MANIFEST
    return load_json(path, "pack", {"python": str, "packages": dict}) if path.exists() else None


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Make a folder that takes its name once the block is through, and is removed if it fails.

    Raises:
        ZprlError: If the name is taken or the folder cannot be made.
    """
    if os.path.lexists(target):
        raise ZprlError(f"{target} exists, and a pack is a new folder; remove it or name another.")
    target = Path(os.path.abspath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise ZprlError(f"the folder {target} cannot be made ({reason}); name another place.") from error
    try:
        yield partial
        partial.chmod(0o755)
        try:
            # Moves onto no name that was taken meanwhile, but for that of an empty folder.
            partial.rename(target)
        except OSError as error:
            raise ZprlError(f"the folder {target} cannot be made ({error.strerror}); name another place.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _build(root: Path, build: Path, python: str, prefix: Path) -> None:
    build.mkdir(parents=True, exist_ok=True)
    log = build / "pack.log"
    with log.open("wb") as file:
        for command in build_commands(root, build, python, prefix):
            print(" ".join(command[:2]), "...", flush=True)
            if run_limited(command, _BUILD_SECONDS, file, os.environ, root) != 0:
                raise ZprlError(f"the build for the pack has failed at `{' '.join(command[:2])}`; {log} says why.")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_IGNORED, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


# Run by the interpreter whose packages they are. Command-line programs, which lie outside, are left.
_LIST_FILES = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        sys.exit(name)
    files = [str(f) for f in distribution.files or () if ".." not in f.parts and f.suffix != ".pyc"]
    found[name] = distribution.version, str(distribution.locate_file("")), files
json.dump(found, sys.stdout)
"""


def _copy_packages(python: str, site: Path) -> dict[str, str]:
    """Copy the carried packages as they are installed here; return their versions."""
    command = [python, "-c", _LIST_FILES, *PACKAGES]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ZprlError(f"{python} has no package '{_last_word(answer.stderr)}' for the pack; install it there first.")
    versions = {}
    for name, (version, folder, files) in json.loads(answer.stdout).items():
        versions[name] = version
        for file in files:
            with suppress(FileNotFoundError):  # listed, but removed since
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(folder) / file, site / file)
    return versions


def _last_word(text: str) -> str:
    """Return the last word of a text."""
    return (text.split() or ["?"])[-1]


def _python_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
