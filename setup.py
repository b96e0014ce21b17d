# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause
"""Build hook: let CMake compile the native libraries and put them beside the Python package.

CMake owns compilation (see CMakeLists.txt); the metadata lives in pyproject.toml. This file only connects them, and
writes the commit that a wheel or a source archive is made from into it:

* ``pip install --no-build-isolation --no-deps -e .`` builds in ``build/`` and installs the libraries into
  ``source/zprl/zprl/``;
* ``pip wheel --no-build-isolation --no-deps .`` builds in the same tree and installs them into the wheel.

A second run recompiles only what changed. Environment: ``ZPRL_CUDA`` = ``AUTO`` (default), ``ON`` or ``OFF``;
``CMAKE_ARGS`` is passed on; ``CMAKE_BUILD_PARALLEL_LEVEL`` bounds the compile jobs.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
PACKAGE_ROOT = ROOT / "source" / "zprl"
BUILD_DIR = ROOT / "build" / f"cmake-cp{sys.version_info.major}{sys.version_info.minor}"


class CMakeBuild(build_ext):
    """Configure, build and install the CMake project instead of calling a compiler from Python."""

    def run(self) -> None:
        """Build both libraries; in place for editable installs, into ``build_lib`` for wheels."""
        if shutil.which("cmake") is None:
            raise SystemExit("ZPRL needs CMake 3.22 or newer to build its native libraries: install cmake.")
        in_place = self.inplace or self.editable_mode
        prefix = PACKAGE_ROOT if in_place else (ROOT / self.build_lib)
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "Python_EXECUTABLE": sys.executable,
            "ZPRL_CUDA": os.environ.get("ZPRL_CUDA", "AUTO"),
        }
        arguments = [f"-D{name}={value}" for name, value in options.items()]
        arguments += shlex.split(os.environ.get("CMAKE_ARGS", ""))
        self._call(["cmake", "-S", str(ROOT), "-B", str(BUILD_DIR), *generator, *arguments])
        self._call(["cmake", "--build", str(BUILD_DIR)])
        self._call(["cmake", "--install", str(BUILD_DIR), "--prefix", str(prefix)])

    def get_outputs(self) -> list[str]:
        """Files this command puts into a wheel."""
        return [str(path) for path in (ROOT / self.build_lib / "zprl").glob("*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing to copy: CMake installs straight to the final place."""
        return {}

    @staticmethod
    def _call(command: list[str]) -> None:
        result = subprocess.run(command, check=False)
        if result.returncode != 0:
            raise SystemExit(f"Building the ZPRL native libraries failed: {' '.join(command[:2])} (see above).")


def write_commit(package: Path) -> None:
    """Write the commit that is built into a package's folder, or nothing where it is not known."""
    provenance = runpy.run_path(str(PACKAGE_ROOT / "zprl" / "utils" / "provenance.py"))
    commit, file = provenance["git_commit"](), package / provenance["COMMIT_FILE"]
    file.unlink(missing_ok=True)  # of an earlier build
    if commit is not None:
        file.write_text(f"{commit}\n")


class BuildPython(build_py):
    """Build the Python part; into a wheel comes its commit, while an editable install asks the repository."""

    def run(self) -> None:
        """Build, and write the commit beside what was built."""
        super().run()
        if not self.editable_mode:
            write_commit(Path(self.build_lib) / "zprl")


class SourceArchive(sdist):
    """Collect the sources, with the commit that a wheel made from them is of."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Collect them in a folder."""
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir) / PACKAGE_ROOT.relative_to(ROOT) / "zprl")


setup(
    # A source-less extension marks the wheel as platform specific and makes setuptools run ``build_ext``.
    ext_modules=[Extension("zprl._core", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "build_py": BuildPython, "sdist": SourceArchive},
)
