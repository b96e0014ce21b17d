# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import errno
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from zprl.utils.errors import ZprlError
from zprl.utils.files import (
    atomic_json_dump,
    atomic_write,
    checksum,
    content_key,
    load_json,
)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


class TestAtomicWrite:
    def test_creates_the_file_and_its_folders(self, tmp_path):
        path = tmp_path / "a" / "b" / "file.bin"
        with atomic_write(path) as file:
            file.write(b"new")
        assert path.read_bytes() == b"new"
        assert names(path.parent) == ["file.bin"]

    def test_old_content_stays_until_the_end_of_the_block(self, tmp_path):
        path = tmp_path / "file.bin"
        path.write_bytes(b"old")
        with atomic_write(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize("error", [ValueError("defect"), KeyboardInterrupt()])
    def test_failure_in_the_block_keeps_the_old_file_and_nothing_else(self, tmp_path, error):
        path = tmp_path / "file.bin"
        path.write_bytes(b"old")
        with pytest.raises(type(error)), atomic_write(path) as file:
            file.write(b"half")
            raise error
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file.bin"]

    def test_error_of_the_caller_about_another_file_keeps_its_name(self, tmp_path):
        with pytest.raises(FileNotFoundError) as raised, atomic_write(tmp_path / "copy.bin") as file:
            file.write((tmp_path / "source.bin").read_bytes())
        assert raised.value.filename == str(tmp_path / "source.bin")

    def test_folder_that_cannot_be_made_is_reported_with_the_path(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError) as raised, atomic_write(tmp_path / "file" / "below"):
            pass
        assert raised.value.filename == str(tmp_path / "file" / "below")

    def test_new_file_follows_the_umask_and_replaced_file_keeps_its_mode(self, tmp_path):
        old_mask = os.umask(0o027)
        try:
            with atomic_write(tmp_path / "new"):
                pass
        finally:
            os.umask(old_mask)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o604)
        with atomic_write(tmp_path / "new"):
            pass
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604

    def test_full_disk_keeps_the_old_file_and_names_the_path(self, tmp_path, monkeypatch):
        path = tmp_path / "file.bin"
        path.write_bytes(b"old")

        def fail(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError) as raised, atomic_write(path) as file:
            file.write(b"new")
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename == str(path)
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file.bin"]

    def test_a_link_stays_and_what_it_leads_to_is_written(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "to_folder").symlink_to("real")
        (tmp_path / "to_file").symlink_to("to_folder/file.bin")
        for content in (b"new", b"newer"):
            with atomic_write(tmp_path / "to_file") as file:
                file.write(content)
            assert (tmp_path / "real" / "file.bin").read_bytes() == content
        assert (tmp_path / "to_file").is_symlink()
        assert names(tmp_path / "real") == ["file.bin"]

    def test_a_pipe_gets_the_whole_content(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        atomic_json_dump([1], tmp_path / "pipe")
        assert os.read(reader, 100) == b"[\n  1\n]\n"
        os.close(reader)
        assert names(tmp_path) == ["pipe"]

    @pytest.mark.parametrize("device", ["/dev/stdout", "/dev/stderr"])
    def test_standard_streams_keep_what_was_printed(self, tmp_path, device):
        code = (
            "import sys; from zprl.utils.files import atomic_json_dump\n"
            "stream = sys.stdout if sys.argv[1] == '/dev/stdout' else sys.stderr\n"
            "print('before', file=stream); atomic_json_dump([], sys.argv[1]); print('after', file=stream)\n"
        )
        with (tmp_path / "out").open("wb") as out:
            subprocess.run([sys.executable, "-c", code, device], stdout=out, stderr=out, check=True)
        assert (tmp_path / "out").read_bytes() == b"before\n[]\nafter\n"
        piped = subprocess.run([sys.executable, "-c", code, device], capture_output=True, check=True)
        assert piped.stdout + piped.stderr == b"before\n[]\nafter\n"

    @pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EBUSY])
    def test_a_refused_replacement_names_the_path_and_keeps_the_old_file(self, tmp_path, monkeypatch, number):
        path = tmp_path / "file.bin"
        path.write_bytes(b"old")

        def fail(source, target):
            raise OSError(number, os.strerror(number), source, None, target)

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError) as raised, atomic_write(path) as file:
            file.write(b"new")
        assert (raised.value.errno, raised.value.filename) == (number, str(path))
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["file.bin"]

    def test_process_killed_while_writing_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "model.json"
        atomic_json_dump({"iteration": 1}, path)
        code = (
            "import sys, time; from zprl.utils.files import atomic_write\n"
            "with atomic_write(sys.argv[1]) as file:\n"
            "    file.write(b'{' + b'0' * 1_000_000); file.flush()\n"
            "    print('half', flush=True); time.sleep(60)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert load_json(path) == {"iteration": 1}
        atomic_json_dump({"iteration": 2}, path)
        assert load_json(path) == {"iteration": 2}

    def test_process_killed_at_any_moment_leaves_a_complete_file(self, tmp_path):
        path = tmp_path / "model.json"
        atomic_json_dump([0] * 1000, path)
        code = (
            "import itertools, sys; from zprl.utils.files import atomic_json_dump\n"
            "print('ready', flush=True)\n"
            "for i in itertools.count(): atomic_json_dump([i] * 1000, sys.argv[1])\n"
        )
        for delay in (0.0, 0.003, 0.011, 0.05):
            process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
            process.wait()
            process.stdout.close()
            content = load_json(path)
            assert len(content) == 1000
            assert len(set(content)) == 1


class TestJsonFiles:
    def test_round_trip(self, tmp_path):
        path = tmp_path / "result.json"
        atomic_json_dump({"rate": 0.5, "jerk": None}, path)
        assert load_json(path) == {"rate": 0.5, "jerk": None}
        assert path.read_text().endswith("}\n")

    def test_nan_is_rejected_before_the_old_file_is_touched(self, tmp_path):
        path = tmp_path / "result.json"
        atomic_json_dump({}, path)
        with pytest.raises(ValueError, match="JSON compliant"):
            atomic_json_dump({"jerk": float("nan")}, path)
        assert load_json(path) == {}

    @pytest.mark.parametrize("content", [b"", b'{"rate": 0.', b"\xff\xfe"])
    def test_broken_file(self, tmp_path, content):
        path = tmp_path / "result.json"
        path.write_bytes(content)
        with pytest.raises(ZprlError, match=rf"the result {path} is not valid JSON"):
            load_json(path, "result")

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(ZprlError, match="does not exist"):
            load_json(tmp_path / "no.json")
        with pytest.raises(ZprlError, match="is a folder"):
            load_json(tmp_path)


class TestKeys:
    def test_key_ignores_order_and_sees_every_value(self):
        key = content_key({"task": "lift", "network": {"layers": [64, 64], "beta": 0.001}})
        assert key == content_key({"network": {"beta": 0.001, "layers": (64, 64)}, "task": "lift"})
        assert key != content_key({"network": {"beta": 0.001, "layers": [64, 65]}, "task": "lift"})
        assert len(key) == 12

    def test_key_is_the_same_in_every_process(self):
        # sha256 of the text {"a":1,"b":[true,null]}
        assert content_key({"b": [True, None], "a": 1}) == "1cc69c7fa236"

    def test_key_rejects_what_has_no_stable_form(self):
        with pytest.raises(TypeError):
            content_key({"device": object()})
        with pytest.raises(ValueError, match="JSON compliant"):
            content_key({"beta": float("inf")})

    def test_checksum(self, tmp_path):
        (tmp_path / "file").write_bytes(b"abc")  # the test vector of FIPS 180
        assert checksum(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
