"""Tensor files in memory, for the tests."""

import io
import zipfile

import torch


def saved(obj, **options):
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    buffer.seek(0)
    return buffer


def rewritten(content, edits):
    """The archive with records changed (None drops one), checksums and sizes right again."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            edit = edits.get(name.partition("/")[2], lambda data: data)
            if edit is not None:
                archive.writestr(name, edit(source.read(name)))
    target.seek(0)
    return target
