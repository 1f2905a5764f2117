"""Checkpoints from the network: the calls that PyTorch's `torch.hub` makes, on a server of this machine."""

import functools
import hashlib
import http.server
import threading
import urllib.error

import pytest
import torch
import torch.hub

import jaxnn


@pytest.fixture
def served(tmp_path):
    """A folder and the address under which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def checkpoint(served):
    folder, address = served
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "plain.pth")
    content = (folder / "plain.pth").read_bytes()
    good = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / good).write_bytes(content)
    (folder / "net-00000000.pth").write_bytes(content)
    return folder, address, good


def outcome(library, address, name, **options):
    try:
        found = library.hub.load_state_dict_from_url(address + name, progress=False, **options)
    except Exception as error:
        return type(error), str(error)
    return {k: v.tolist() for k, v in found.items()}


def test_checkpoints_are_fetched_once(checkpoint, tmp_path, monkeypatch):
    folder, address, good = checkpoint
    for library in (torch, jaxnn):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / library.__name__))
        assert library.hub.get_dir() == str(tmp_path / library.__name__ / "hub")
    # The environment is that of the last library now; PyTorch takes the folder by argument.
    there, here = tmp_path / "torch", tmp_path / "jaxnn" / "hub" / "checkpoints"
    calls = [(good, {}), (good, {"check_hash": True}), ("plain.pth", {"file_name": "other.pth"}), ("plain.pth?a=1", {})]
    for name, options in calls:
        expected = outcome(torch, address, name, model_dir=str(there), **options)
        assert outcome(jaxnn, address, name, **options) == expected and isinstance(expected, dict)
    names = {"other.pth", "plain.pth", good}
    assert {p.name for p in here.iterdir()} == {p.name for p in there.iterdir()} == names
    (folder / good).unlink()  # the copy is enough
    jaxnn.nn.Linear(3, 2).load_state_dict(jaxnn.hub.load_state_dict_from_url(address + good))


def test_what_fails_leaves_nothing_behind(checkpoint, tmp_path):
    _, address, _ = checkpoint
    for name, options in [("net-00000000.pth", {"check_hash": True}), ("missing.pth", {})]:
        expected = outcome(torch, address, name, model_dir=str(tmp_path / "torch"), **options)
        found = outcome(jaxnn, address, name, model_dir=str(tmp_path / "jaxnn"), **options)
        assert found == expected and isinstance(found, tuple)
    assert found[0] is urllib.error.HTTPError
    assert list((tmp_path / "jaxnn").iterdir()) == []


def test_the_folder_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setitem(jaxnn.hub._state, "folder", None)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jaxnn.hub.get_dir() == torch.hub.get_dir() == str(tmp_path / "torch" / "hub")
    jaxnn.hub.set_dir(tmp_path / "mine")
    assert jaxnn.hub.get_dir() == str(tmp_path / "mine")
