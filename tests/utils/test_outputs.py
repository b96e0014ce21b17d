# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What can be written is settled before the work, and nothing is left behind by asking."""

import errno
import os
import tempfile

import pytest

from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write, load_json, remove_leftovers
from zprl.utils.outputs import LOCK, check_files, check_folder, check_name, claimed, exclusive


def denying(number):
    """Return what stands for making a file in a folder that refuses it; root may write to any."""

    def fail(*, dir):
        raise OSError(number, os.strerror(number), os.path.join(dir, "tmpabc"))

    return fail


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "/abs", "a/b", "a\nb", "a\0b", "n" * 101, "ä" * 51])
def test_a_name_is_no_path(name):
    with pytest.raises(ZprlError, match=r"^--name is .*, which cannot name a folder; give a name without slashes"):
        check_name("--name", name)


@pytest.mark.parametrize("name", ["lift", "..a", "0.5_b-c d", "n" * 100])
def test_a_plain_name_stays(name):
    assert check_name("--name", name) == name


def test_files_that_can_be_written_pass_and_leave_nothing(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "to_nothing").symlink_to("new")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    names = ("old", "to_nothing", "pipe", "a/b/new.json")
    check_files({name: tmp_path / name for name in names} | {"--plot": None})
    check_files({"--json": tmp_path / "link"})
    check_files({"--json": type(tmp_path)("/dev/stdout")})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("folder", "is a folder"),
        ("file/below.json", "not a directory"),
        ("circle", "too many"),
        ("n" * 300, "too long"),
    ],
)
def test_what_can_be_no_file_is_refused(tmp_path, path, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(ZprlError, match=rf"^--json .*{words}"):
        check_files({"--json": tmp_path / path})


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "read-only file system"), (errno.EACCES, "permission denied"), (errno.ENOSPC, "no space left")],
)
def test_a_folder_that_takes_no_file_is_refused_by_name(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr(tempfile, "TemporaryFile", denying(number))
    with pytest.raises(ZprlError, match=rf"^--json .*r\.json cannot be written: {words}.*\({tmp_path}\); name another"):
        check_files({"--json": tmp_path / "new" / "r.json"})
    with pytest.raises(ZprlError, match=rf"^--run_dir .*run cannot be written: {words}.*name another folder\.$"):
        check_folder("--run_dir", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_write_protected_or_mounted_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *args: False)
        with pytest.raises(ZprlError, match="write-protected"):
            check_files({"--json": path})
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(ZprlError, match="mounted by itself"):
        check_files({"--json": path})


def test_two_results_are_not_one_file(tmp_path):
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(ZprlError, match=r"named for two files, --json and --plot; give each its own\.$"):
        check_files({"--json": tmp_path / "a", "--plot": tmp_path / "link"})


@pytest.mark.parametrize("alias", ["itself", "link", "hard link", "link to its folder", "folder"])
def test_what_is_read_is_not_replaced(tmp_path, alias):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "result.json"
    source.write_text("{}")
    output = tmp_path / "out"
    if alias == "itself":
        output = source
    elif alias == "link":
        output.symlink_to(source)
    elif alias == "hard link":
        output.hardlink_to(source)
    else:
        output.symlink_to(source.parent)
        output = output / "result.json" if alias == "link to its folder" else output
    with (
        claimed({"--json": output}),
        pytest.raises(ZprlError, match=rf"^--json {output} would replace the result {source}, which is read; name ano"),
    ):
        load_json(source, "result")
    with claimed({"--json": tmp_path / "new"}):
        (tmp_path / "other").write_text("{}")
        assert load_json(source) == load_json(tmp_path / "other") == {}


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "r.json"
    for there in (False, True):
        assert path.exists() == there
        with claimed({"--json": path}):
            with atomic_write(path) as file:
                file.write(b"[]")
            assert load_json(path) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    check_folder("--run_dir", tmp_path / "link")
    check_folder("--run_dir", tmp_path / "folder" / "new")
    with pytest.raises(ZprlError, match="is a file; name a folder"):
        check_folder("--run_dir", tmp_path / "file")
    with pytest.raises(ZprlError, match="not a directory"):
        check_folder("--run_dir", tmp_path / "file" / "below")


def test_what_a_kill_left_goes_and_what_is_being_written_stays(tmp_path):
    """Another process, or this one through another file, holds the lock of what it writes."""
    old = tmp_path / ".model.json.abc.tmp"
    fresh = tmp_path / ".model.json.def.tmp"
    other = tmp_path / ".other.json.abc.tmp"
    for path in (old, fresh, other):
        path.touch()
    os.mkfifo(tmp_path / ".pipe.abc.tmp")
    os.utime(old, (0, 0))
    with atomic_write(tmp_path / "model.json"):
        (written,) = set(tmp_path.glob(".model.json.*.tmp")) - {fresh}
        os.utime(written, (0, 0))
        with atomic_write(tmp_path / "model.json"):
            pass
        assert written.exists()
    assert sorted(path.name for path in tmp_path.glob("*.*.json*")) == [fresh.name, other.name]
    remove_leftovers(tmp_path, age=0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pipe.abc.tmp", "model.json"]


def test_a_folder_is_held_by_one(tmp_path):
    folder = tmp_path / "run"
    with (
        exclusive(folder, "another training", "wait for it"),
        pytest.raises(ZprlError, match=rf"^another training is writing to {folder}; wait for it\.$"),
        exclusive(folder, "another training", "wait for it"),
    ):
        pass
    with exclusive(folder, "another training", "wait for it"):
        assert [path.name for path in folder.iterdir()] == [LOCK]
