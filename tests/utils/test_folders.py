# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A folder that is replaced is the old one or the new one, whenever the replacement ends."""

import fcntl
import os
import signal

import pytest

from zprl.utils.folders import atomic_folder, recover_folder, replace_folder


@pytest.fixture
def folders(tmp_path):
    """Give a folder that is there and the one that is to replace it."""
    path, place = tmp_path / "bundle", tmp_path / ".bundle.new.tmp"
    for folder, content in ((path, "old"), (place, "new")):
        folder.mkdir()
        (folder / "file").write_text(content)
    return path, place


def content_of(path):
    return (path / "file").read_text()


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_folder_is_replaced_and_nothing_stays_beside_it(folders, tmp_path):
    path, place = folders
    replace_folder(place, path)
    assert (content_of(path), names(tmp_path)) == ("new", ["bundle"])


@pytest.mark.parametrize("error", [OSError("busy"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_what_fails_between_the_renames_puts_the_old_folder_back(folders, tmp_path, monkeypatch, error):
    path, place = folders
    replace = os.replace

    def fail(source, target):
        if source == place:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        replace_folder(place, path)
    assert (content_of(path), content_of(place), names(tmp_path)) == ("old", "new", [".bundle.new.tmp", "bundle"])


@pytest.mark.parametrize(("after", "left"), [(1, "old"), (2, "new")], ids=["between the renames", "before the removal"])
def test_a_kill_is_recovered_from(folders, tmp_path, after, left):
    path, place = folders
    child = os.fork()
    if child == 0:
        replace, count = os.replace, 0

        def kill(source, target):
            nonlocal count
            replace(source, target)
            count += 1
            if count == after:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = kill
        replace_folder(place, path)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list(tmp_path.glob(".bundle.*.old"))) == 1 and path.exists() == (after == 2)
    recover_folder(path)
    assert content_of(path) == left
    assert list(tmp_path.glob(".bundle.*.old")) == []


def test_of_several_the_last_comes_back_and_what_is_being_replaced_stays(tmp_path):
    path = tmp_path / "bundle"
    for number in range(3):
        (tmp_path / f".bundle.{number}.old").mkdir()
        (tmp_path / f".bundle.{number}.old" / "file").write_text(str(number))
        os.utime(tmp_path / f".bundle.{number}.old", (number, number))
    held = os.open(tmp_path / ".bundle.2.old", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    recover_folder(path)
    os.close(held)
    assert content_of(path) == "1" and names(tmp_path) == [".bundle.2.old", "bundle"]


# -- made as a whole


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_a_folder_that_could_not_be_made_leaves_the_old_one(folders, tmp_path, error):
    path, _ = folders
    before = names(tmp_path)
    with pytest.raises(type(error)), atomic_folder(path) as place:
        (place / "file").write_text("half")
        assert content_of(path) == "old"
        raise error
    assert (content_of(path), names(tmp_path)) == ("old", before)


def test_what_a_kill_left_goes_and_what_another_process_is_making_stays(folders, tmp_path):
    path, left = folders
    os.utime(left, (0, 0))
    with atomic_folder(path) as first:
        (first / "file").write_text("first")
        os.utime(first, (0, 0))  # as if it took long
        with atomic_folder(path) as second:
            (second / "file").write_text("second")
            assert not left.exists() and first.is_dir()
        assert content_of(path) == "second"
    assert (content_of(path), names(tmp_path)) == ("first", ["bundle"])
    assert path.stat().st_mode & 0o777 == 0o755
