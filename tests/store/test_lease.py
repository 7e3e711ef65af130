"""Leases: one holder at a time, gone with the holder, taken over only on demand."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from emovid_dataset import _lease
from emovid_dataset.store import BusyError, Store

Age = Callable[[Store, str, float], None]

HOLD = """
import sys
from emovid_dataset.store import Store
with Store.at(sys.argv[1]).lease(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(store: Store, name: str) -> subprocess.Popen[str]:
    """A process that holds a lease until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store.root, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_one_holder_at_a_time(store: Store) -> None:
    for _ in range(2):
        with store.lease("work/lock") as lease:
            for take_over in (False, True):
                with pytest.raises(BusyError) as caught, store.lease("work/lock", take_over=take_over):
                    pass
                (line,) = str(caught.value).splitlines()
                who = f"process {os.getpid()} on {os.uname().nodename}"
                start = f"{store.shown('work/lock')} is held by {who} since "
                assert line.startswith(start)
                assert datetime.fromisoformat(line.removeprefix(start)).tzinfo is not None
            with store.lease("work/other"):
                pass
            lease.check()
        assert list(store.list()) == []


def test_an_exception_frees_it(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.lease("lock"):
        raise KeyboardInterrupt
    with store.lease("lock"):
        pass


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_another_process_holds_it(kind: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(kind)
    process = holder(store, "lock")
    with pytest.raises(BusyError, match=f"held by process {process.pid} on "), store.lease("lock"):
        pass
    process.communicate(timeout=60)
    assert process.returncode == 0
    with store.lease("lock"):
        pass


def test_a_lock_of_a_disk_goes_with_a_killed_holder(disk: Store) -> None:
    process = holder(disk, "lock")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    with disk.lease("lock"):
        assert disk.read("lock").startswith(b'{"host"')


def test_a_forked_child_frees_nothing(disk: Store) -> None:
    """It may unwind the block of its parent."""
    held = disk.lease("lock")
    held.__enter__()
    child = os.fork()
    if not child:
        code = 1
        try:
            held.__exit__(None, None, None)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(BusyError), disk.lease("lock"):
        pass
    held.__exit__(None, None, None)
    assert list(disk.list()) == []


FORK = """
import os, sys
from emovid_dataset.store import Store
with Store.at(sys.argv[1]).lease(sys.argv[2]):
    if not os.fork():
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    os.wait()
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(disk: Store) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, disk.root, "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "forked\n"
    with pytest.raises(BusyError), disk.lease("lock"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    with disk.lease("lock"):
        pass
    process.stdin.close()  # the child ends, and with it the pipe
    assert process.stdout.read() == ""


def test_many_at_once(disk: Store) -> None:
    """Threads that come and go: never two inside, though the file is made and deleted again and again."""
    inside, most, done, busy = 0, 0, 0, 0
    count = threading.Lock()

    def come_and_go() -> None:
        nonlocal inside, most, done, busy
        for _ in range(300):
            try:
                with disk.lease("lock"):
                    with count:
                        inside += 1
                        most = max(most, inside)
                        done += 1
                    os.sched_yield()
                    with count:
                        inside -= 1
            except BusyError:
                with count:
                    busy += 1

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and done and done + busy == 1200


def test_a_file_system_without_locks(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with disk.lease("lock"), disk.lease("lock"):
        disk.put("x", b"x")
    disk.sweep()
    assert list(disk.list()) == ["x"]


def test_a_link_in_the_place_of_the_lock_is_not_followed(disk: Store) -> None:
    disk.put("precious", b"precious")
    assert disk.folder
    (disk.folder / "lock").symlink_to("precious")
    with pytest.raises(OSError), disk.lease("lock"):
        pass
    assert disk.read("precious") == b"precious"


class TestBuckets:
    def test_a_stale_one_is_taken_over_only_on_demand(
        self, bucket: Store, age: Age, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "BEAT", 3600)
        first = bucket.lease("lock")
        lease = first.__enter__()
        age(bucket, "lock", _lease.STALE - 5)
        with pytest.raises(BusyError, match=r"held by process \d+ on \S+ since \S+$"):
            bucket.lease("lock", take_over=True).__enter__()
        age(bucket, "lock", 10)
        with pytest.raises(BusyError, match=r"which was last heard of \d+ s ago$"):
            bucket.lease("lock").__enter__()
        with bucket.lease("lock", take_over=True):
            lease.check()
            with pytest.raises(BusyError):
                bucket.lease("lock").__enter__()
            # The one from which it was taken neither ends well nor takes it away from the other.
            with pytest.raises(BusyError, match="was taken over"):
                first.__exit__(None, None, None)
            with pytest.raises(BusyError, match="was taken over"):
                lease.check()
            assert bucket.exists("lock")
        assert list(bucket.list()) == []

    def test_a_holder_notices_by_its_next_beat(
        self, bucket: Store, age: Age, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "BEAT", 0.01)
        with pytest.raises(BusyError, match="was taken over"), bucket.lease("lock") as lease:
            files, path = bucket._place("lock")
            files.pipe_file(path, _lease._Holder.this().to_json())
            until(lambda: lease._lost.is_set())
            lease.check()
        assert bucket.exists("lock")

    def test_a_held_one_does_not_become_stale(
        self, bucket: Store, age: Age, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "BEAT", 0.01)
        with bucket.lease("lock") as lease:
            age(bucket, "lock", 3600)
            beats = set[bytes]()
            until(lambda: beats.add(bucket.read("lock")) or len(beats) > 3)
            with pytest.raises(BusyError, match=r"since \S+$"):
                bucket.lease("lock", take_over=True).__enter__()
            lease.check()

    def test_a_killed_holder_leaves_a_stale_one(self, s3: Store, age: Age) -> None:
        process = holder(s3, "lock")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        with pytest.raises(BusyError, match=f"process {process.pid} on "):
            s3.lease("lock", take_over=True).__enter__()
        age(s3, "lock", _lease.STALE)
        with s3.lease("lock", take_over=True):
            pass

    def test_the_local_clock_does_not_matter(
        self, bucket: Store, age: Age, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "BEAT", 3600)
        with bucket.lease("lock"):
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 1e6)
            with pytest.raises(BusyError, match=r"since \S+$"):
                bucket.lease("lock", take_over=True).__enter__()

    def test_of_two_that_take_over_one_gets_it(
        self, s3: Store, age: Age, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_lease, "BEAT", 3600)
        files, path = s3._place("lock")
        files.pipe_file(path, _lease._Holder.this().to_json())
        age(s3, "lock", 3600)
        both = threading.Barrier(2, timeout=60)
        seconds_since = _lease._seconds_since

        seen = threading.local()

        def together(*place: Any) -> float | None:
            found = seconds_since(*place)
            if not hasattr(seen, "before"):  # who loses looks a second time
                seen.before = True
                both.wait()
            return found

        monkeypatch.setattr(_lease, "_seconds_since", together)
        outcomes: list[object] = []

        def take() -> None:
            try:
                with s3.lease("lock", take_over=True) as lease:
                    lease.check()
                    outcomes.append("held")
                    both.wait()
            except BusyError as error:
                outcomes.append(error)
                both.wait()

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 2 and outcomes.count("held") == 1, outcomes

    def test_a_put_that_was_stored_and_not_answered_is_ours(
        self, bucket: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files, _ = bucket._place("lock")
        pipe_file = files.pipe_file

        def twice(path: str, data: bytes, **options: Any) -> Any:
            if options.get("mode") == "create":
                pipe_file(path, data, **options)
            return pipe_file(path, data, **options)

        monkeypatch.setattr(files, "pipe_file", twice)
        with bucket.lease("lock") as lease:
            lease.check()
        assert list(bucket.list()) == []

    def test_a_broken_lease_is_somebodys(self, bucket: Store) -> None:
        bucket.put("lock", b"\xff{")
        with pytest.raises(BusyError, match=r"lock is held by another process$"):
            bucket.lease("lock").__enter__()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
