"""Files of exported programs: an archive of the StableHLO, the weights and the example, and how they are called."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import zipfile
from typing import IO, Any

from jax import export as jax_export

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import x64
from jaxnn.nn.parameter import Parameter
from jaxnn.serialization import load as load_weights
from jaxnn.serialization import save as save_weights
from jaxnn.support.packages import needed
from jaxnn.torch_file import replacing
from jaxnn.utils._pytree import treespec_dumps, treespec_loads

from .exported_program import ExportedProgram, Signature

__all__ = ["load", "save"]

_PROGRAM, _WEIGHTS, _SIGNATURE, _EXTRA = "program.stablehlo", "weights.pt", "signature.json", "extra/"


def _check_package() -> None:
    needed("flatbuffers", "a file of an exported program", "jaxnn-torch[export]")


def save(
    ep: ExportedProgram, f: str | os.PathLike[str] | IO[bytes], *, extra_files: dict[str, Any] | None = None,
    opset_version: dict[str, int] | None = None, pickle_protocol: int = 2,
) -> None:  # fmt: skip
    """Write an exported program. The file has its gradients, too, and runs without the module's source. PyTorch can't read it.

    Args:
        ep: the program.
        f: a path, whose old file stays until the new one is complete, or a file open for writing.
        extra_files: further texts by name, which `load` gives back.
        opset_version: not supported: the program consists of StableHLO.
        pickle_protocol: of the weights' file inside.

    Raises:
        TypeError: it is no exported program.
    """
    if opset_version is not None:
        raise NotImplementedError("export.save(opset_version=...): a program is StableHLO, which has versions of its own")
    if not isinstance(ep, ExportedProgram):
        raise TypeError(f"The 'ep' parameter must be an instance of 'ExportedProgram', got '{type(ep).__name__}' instead.")
    _check_package()
    signature = dataclasses.asdict(ep._signature)
    constants = signature.pop("constants")
    signature["in_spec"], signature["out_spec"] = treespec_dumps(ep._signature.in_spec), treespec_dumps(ep._signature.out_spec)
    weights = io.BytesIO()
    state = {n: t.detach() for n, t in ep._state.items()}
    frozen = [n for n in ep._signature.parameters if not ep._state[n].requires_grad]
    held = {"state": state, "frozen": frozen, "example": _plain(ep._example), "constants": constants}
    save_weights(held, weights, pickle_protocol=pickle_protocol)
    with replacing(f) if isinstance(f, (str, os.PathLike)) else contextlib.nullcontext(f) as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            with x64(True):  # as it was traced
                archive.writestr(_PROGRAM, bytes(ep.exported.serialize(vjp_order=1)))
            archive.writestr(_WEIGHTS, weights.getvalue())
            archive.writestr(_SIGNATURE, json.dumps(signature))
            for name, content in (extra_files or {}).items():
                archive.writestr(_EXTRA + name, content)


def _plain(leaves: list[Any]) -> list[Any]:
    return [v.detach() if isinstance(v, TensorBase) else v for v in leaves]


def load(
    f: str | os.PathLike[str] | IO[bytes], *, extra_files: dict[str, Any] | None = None,
    expected_opset_version: dict[str, int] | None = None,
) -> ExportedProgram:  # fmt: skip
    """The program in a file that `save` wrote.

    Args:
        f: a path, or a file open for reading.
        extra_files: names of further texts; their values are set.
        expected_opset_version: not supported.

    Raises:
        NotImplementedError: for a file of PyTorch's, which holds a graph of PyTorch's operators.
    """
    if expected_opset_version is not None:
        raise NotImplementedError("export.load(expected_opset_version=...): a program is StableHLO, which has versions of its own")
    _check_package()
    with zipfile.ZipFile(f) as archive:
        if _PROGRAM not in archive.namelist():
            raise NotImplementedError("export.load: this file holds no StableHLO; a graph of PyTorch's operators can't be read")
        exported = jax_export.deserialize(bytearray(archive.read(_PROGRAM)))
        held = load_weights(io.BytesIO(archive.read(_WEIGHTS)))
        signature = json.loads(archive.read(_SIGNATURE))
        for name in extra_files or {}:
            extra_files[name] = archive.read(_EXTRA + name).decode()  # type: ignore[index]
    signature["in_spec"], signature["out_spec"] = treespec_loads(signature["in_spec"]), treespec_loads(signature["out_spec"])
    signature["bounds"] = {n: (low, high) for n, (low, high) in signature["bounds"].items()}
    described = Signature(**signature, constants=held["constants"])
    trained = {n: n not in held["frozen"] for n in described.parameters}
    state = {n: Parameter(t, trained[n]) if n in trained else t for n, t in held["state"].items()}
    return ExportedProgram(exported, described, state, held["example"])
