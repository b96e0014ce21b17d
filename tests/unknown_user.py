# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A user id that nobody knows, as in a container that runs under any."""

import os
import pwd
import tempfile


def become_stranger(monkeypatch, folder):
    """Be a user id without an entry in the list of users and without a home folder.

    Returns:
        The home folder that it gets, below the one for temporary files.
    """

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder / f"zprl-home-{os.getuid()}"
