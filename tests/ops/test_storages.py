"""Storages, as PyTorch's: reads, writes that the tensors see, conversions, files."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import pytest
import torch

import jaxnn

_CASES = {
    "elements": lambda m, s: (s.tolist(), len(s), s.size(), s[1], s[-1], list(s), s.dtype, s.nbytes(), s.element_size()),
    "one written": lambda m, s: s.__setitem__(1, 9),
    "some written": lambda m, s: s.__setitem__(slice(1, 3), 5),
    "filled": lambda m, s: s.fill_(2).tolist(),
    "copied to": lambda m, s: s.copy_(m.arange(4.0, 8.0).storage()).tolist(),
    "copied to of another type": lambda m, s: s.copy_(m.arange(4).storage()).tolist(),
    "copied to of another size": lambda m, s: s.copy_(m.arange(3.0).storage()),
    "a slice": lambda m, s: s[1:3],
    "beyond the end": lambda m, s: s[10],
    "no index": lambda m, s: s["a"],
    "cloned": lambda m, s: (s.clone().fill_(3).tolist(), s.tolist()),
    "converted": lambda m, s: [(c.dtype, c.tolist()) for c in (s.double(), s.int(), s.half(), s.bool(), s.float())],
    "named": lambda m, s: (s.type(), s.pickle_storage_type(), m.arange(3).storage().type()),
    "printed": lambda m, s: repr(s),
    "where": lambda m, s: (str(s.device), s.is_cuda, s.is_sparse, s.is_pinned()),
    "deepcopied": lambda m, s: copy.deepcopy(s).fill_(1).tolist(),
    "made": lambda m, s: (
        m.TypedStorage([1, 2], dtype=m.int64).tolist(), len(m.TypedStorage(3)),
        m.TypedStorage(wrap_storage=s.untyped(), dtype=m.int32).tolist(),
    ),
    "saved": lambda m, s: (lambda r: (type(r["s"]).__name__, r["s"].tolist(), r["s"].dtype, r["x"].tolist()))(
        _again(m, {"s": s, "x": m.ones(2)})
    ),
    "saved beside its tensor": lambda m, s: (
        lambda r: (r["s"].fill_(7), r["x"].tolist())[1]
    )(_again(m, (lambda x: {"x": x, "s": x.storage()})(m.ones(2)))),
    "bytes": lambda m, s: (lambda u: (u.tolist(), len(u), u[1], u[1:3].tolist(), u.element_size()))(m.arange(3).untyped_storage()),
    "bytes written": lambda m, s: s.untyped().__setitem__(3, 64),
    "bytes filled": lambda m, s: s.untyped().fill_(0).tolist(),
    "bytes converted": lambda m, s: (lambda u: (u.float().tolist(), u.float().dtype))(m.UntypedStorage([1, 2, 3])),
    "of a view of another type": lambda m, s: (lambda x: (x.storage().tolist(), x.storage().dtype))(m.ones(2).view(m.int32)),
    "copied to of another type and this size": lambda m, s: s.copy_(m.arange(4).int().storage()).tolist(),
    "bytes copied": lambda m, s: (m.UntypedStorage([1, 2]).clone().tolist(), m.UntypedStorage(2).copy_(m.UntypedStorage([1, 2])).tolist()),
    "bytes printed": lambda m, s: (repr(m.UntypedStorage([1, 2])), m.UntypedStorage(2).type()),
    "bytes saved": lambda m, s: (lambda r: (type(r).__name__, r.tolist()))(_again(m, m.UntypedStorage([1, 2]))),
}  # fmt: skip


def _again(m: Any, value: Any) -> Any:
    file = io.BytesIO()
    m.save(value, file)
    file.seek(0)
    return m.load(file)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)


@pytest.mark.parametrize("case", _CASES)
def test_storages(case: str) -> None:
    def run(m: Any) -> Any:
        x = m.arange(4.0)
        view = x.view(2, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = _plain(_CASES[case](m, x.storage()))
            except (RuntimeError, IndexError, TypeError) as error:
                found = type(error).__name__, str(error).replace("jaxnn.", "torch.")
        return found, view.tolist()

    ours, theirs = run(jaxnn), run(torch)
    if isinstance(theirs[0], tuple):
        assert ours[0][0] == theirs[0][0]
        ours, theirs = ours[1:], theirs[1:]
    assert repr(ours) == repr(theirs)
