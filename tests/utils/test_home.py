# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A user id that nobody knows, and a home folder that cannot be written to."""

import getpass
import os

import pytest
from tests.unknown_user import become_stranger

from zprl.utils.home import provide_home


@pytest.fixture
def stranger(monkeypatch, tmp_path):
    """Be a user id without an entry in the list of users, without a home folder."""
    return become_stranger(monkeypatch, tmp_path)


def test_an_unknown_user_gets_a_name_and_a_folder_of_its_own(stranger):
    provide_home()
    assert getpass.getuser() == f"user{os.getuid()}"
    assert os.path.expanduser("~") == str(stranger)
    assert stranger.stat().st_mode & 0o777 == 0o700
    provide_home()
    assert list(stranger.parent.iterdir()) == [stranger], "the next command finds it again"


@pytest.mark.parametrize("trap", ["link", "open to others", "file"])
def test_a_folder_that_others_could_fill_is_not_taken(stranger, trap):
    """What is cached there is run as code."""
    if trap == "link":
        stranger.symlink_to(stranger.parent)
    elif trap == "file":
        stranger.touch()
    else:
        stranger.mkdir()
        stranger.chmod(0o777)
    provide_home()
    home = os.path.expanduser("~")
    assert home.startswith(f"{stranger.parent}/zprl-home-") and home != str(stranger)


def test_a_home_that_cannot_be_written_to_is_replaced_and_any_other_kept(stranger, monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    provide_home()
    assert os.environ["HOME"] == str(home)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda place, mode: place == home / ".cache")
        provide_home()
        assert os.environ["HOME"] == str(home), "the caches have a volume of their own"
        patch.setattr(os, "access", lambda place, mode: False)
        provide_home()
        assert os.environ["HOME"] == str(stranger)
