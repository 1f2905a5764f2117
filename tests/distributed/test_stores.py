"""Stores beside PyTorch's: what each request gives, and what is raised."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import pytest
import torch.distributed

import jaxnn.distributed
from jaxnn.distributed import connection

LIBRARIES = [torch.distributed, jaxnn.distributed]
SHORT = timedelta(milliseconds=30)


def made(dist, kind, folder):
    if kind == "file":
        return dist.FileStore(str(folder / f"{dist.__name__}.store"), 1)
    if kind == "tcp":
        return dist.TCPStore("localhost", 0, 1, True, timeout=timedelta(seconds=20))
    store = dist.HashStore()
    return dist.PrefixStore("a", dist.PrefixStore("b", store)) if kind == "prefix" else store


def said(f, *args):
    """What a call gives, or the type of what it raises."""
    try:
        return f(*args)
    except Exception as error:
        return type(error).__name__


def program(s, kind):
    found = [s.set("a", "1"), s.get("a"), s.add("n", 3), s.add("n", -1), s.get("n"), s.check(["a", "n"]), s.check(["a", "none"])]
    found += [s.set("b", b"\x00\xff\n"), s.get("b"), said(s.set, "c", 3), said(s.add, "n", "x")]
    found += [s.compare_set("a", "1", "2"), s.compare_set("a", "1", "3"), s.compare_set("q", "1", "3"), s.compare_set("q", "", "4")]
    found += [s.append("a", "x"), s.append("new", "y"), s.multi_set(["k", "l"], ["v", b"w"]), s.multi_get(["k", "l", "a", "new", "q"])]
    found += [s.delete_key("a"), s.check(["a"]), s.num_keys(), s.has_extended_api()]
    found += [{k.rpartition("/")[2] for k in s.list_keys()} - {"", "init"}, s.wait(["n"]), s.barrier("meeting", 1)]
    if kind != "file":
        found += [s.queue_push("Q", "1"), s.queue_push("Q", "2"), s.queue_len("Q"), s.queue_pop("Q"), s.queue_pop("Q"), s.queue_len("Q")]
        found += [said(s.queue_pop, "Q", False)]
    else:
        found += [said(s.queue_push, "Q", "1"), said(s.queue_len, "Q")]
    s.set_timeout(SHORT)
    found += [s.timeout, said(s.wait, ["none"], SHORT), said(s.get, "none")]
    return found


@pytest.mark.parametrize("kind", ["hash", "file", "tcp", "prefix"])
def test_requests(kind, tmp_path):
    theirs, ours = (program(made(dist, kind, tmp_path), kind) for dist in LIBRARIES)
    if kind == "file":  # PyTorch's raises its common ancestor
        theirs = ["DistStoreError" if x == "RuntimeError" else x for x in theirs]
    assert ours == theirs


def test_stores_of_several_clients(tmp_path):
    """What one writes another one waits for; a client that is missing is said."""
    for dist in LIBRARIES:
        holder = dist.TCPStore("localhost", 0, 2, True, timeout=timedelta(seconds=20), wait_for_workers=False)
        other = dist.TCPStore("localhost", holder.port, 2, False, timeout=timedelta(seconds=20))
        late = threading.Timer(0.05, other.set, ("late", "here"))
        late.start()
        assert holder.get("late") == b"here" and other.add("n", 2) + holder.add("n", 3) == 7 and holder.host == "localhost"
        with pytest.raises(dist.DistError):
            dist.TCPStore("localhost", 0, 2, True, timeout=SHORT)
        with pytest.raises(dist.DistNetworkError, match=r"timed out after 30ms while trying to connect to \(localhost, 1\)"):
            dist.TCPStore("localhost", 1, 2, False, timeout=SHORT)
        path = str(tmp_path / dist.__name__)
        first, second = dist.FileStore(path, 2), dist.FileStore(path, 2)
        first.set("a", "b")
        assert second.get("a") == b"b" and first.path == path


def test_a_store_of_ones_own():
    for dist in LIBRARIES:

        class Mine(dist.Store):
            def __init__(self):
                super().__init__()
                self.held = {}

            def set(self, key, value):
                self.held[key] = value

        mine = Mine()
        dist.PrefixStore("front", mine).set("k", "v")
        assert list(mine.held) == ["front/k"]
        with pytest.raises(RuntimeError):
            mine.get("k")


def test_a_port_at_which_another_job_listens_is_refused():
    with connection.held_port() as port:
        connection.check_free(connection.Address("127.0.0.1", port))  # it is held for this job: nobody listens
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(jaxnn.distributed.DistNetworkError, match="in use"):
            connection.check_free(connection.Address("127.0.0.1", other.getsockname()[1]))
