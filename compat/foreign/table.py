"""Every name of PyTorch's that is here for foreign source only: module -> (reason, kind -> names). `making.KINDS` has the kinds."""

from __future__ import annotations

import typing
from typing import Any

from . import devices, scattered
from .members import ABSENT_TYPES, members

__all__ = ["CONSTANTS", "MEMBERS", "TABLE"]

_COMPILER = "nothing is compiled from source"
_SCRIPT = "there is no TorchScript, what is scripted runs as the Python that it is"
_GRAPHS = "graphs are not captured from source; jax.make_jaxpr shows XLA's"
_STREAMS = "XLA schedules by itself, there are no streams"
_QUANTIZED = "quantised tensors and modules are not here"
_RPC = "there are no remote calls"
_BINDING = "there is no C++ binding of PyTorch's"
_EXPORT = "there are no graphs of PyTorch's or ONNX operators; torch.export.export and save write StableHLO"
_SYMBOLS = "shapes are numbers"


def _device(kind: str) -> tuple[str, dict[str, str]]:
    """The namespace of a kind of device that JAX has not."""
    return (
        f"there is no {kind} device",
        {
            "false": "is_available is_initialized is_bf16_supported is_current_stream_capturing is_tf32_supported",
            "zero": (
                "device_count memory_allocated max_memory_allocated memory_reserved max_memory_reserved"
            ),
            "nothing": (
                "empty_cache manual_seed manual_seed_all seed seed_all reset_peak_memory_stats reset_accumulated_memory_stats "
                "set_rng_state_all init"
            ),
            "list": "get_rng_state_all",
            "class": "Stream Event StreamContext",
            "refusing": (
                "current_device current_stream device set_device stream set_stream get_device_name get_device_capability "
                "get_device_properties get_rng_state set_rng_state mem_get_info synchronize initial_seed memory_stats"
            ),
        },
    )


def _only(row: tuple[str, dict[str, str]], without: str) -> tuple[str, dict[str, str]]:
    """A row without some names."""
    return row[0], {k: " ".join(n for n in v.split() if n not in without.split()) for k, v in row[1].items()}


TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "torch": (
        "of compilers, streams and the C++ binding",
        {
            "class": (
                "PyTorchFileReader PyTorchFileWriter ScriptModule Stream Event SymInt SymFloat SymBool ScriptFunction "
                "CompilationUnit Value Graph Node TensorType DeviceObjType FloatType IntType BoolType ListType StringType"
            ),
            "refusing": "fork wait",
            "constant": " ".join(path.partition(".")[2] for path in ABSENT_TYPES),
        },
    ),
    "torch._C": (
        _BINDING,
        {
            "nothing": (
                "_log_api_usage_once _jit_set_profiling_executor _jit_set_profiling_mode _jit_override_can_fuse_on_cpu "
                "_jit_override_can_fuse_on_gpu _jit_set_texpr_fuser_enabled _jit_set_nvfuser_enabled "
                "_set_math_sdp_allow_fp16_bf16_reduction"
            ),
            "constant": "DispatchKey",
            "opaque": "DispatchKeySet",
            "none": "_get_tracing_state _current_autograd_node",
            "false": (
                "_jit_can_fuse_on_cpu _jit_can_fuse_on_gpu _are_functorch_transforms_active _get_cudnn_enabled "
                "_is_torch_function_mode_enabled _is_tracing"
            ),
            "class": (
                "Graph Value Node ScriptModule ScriptFunction FunctionSchema _ExcludeDispatchKeyGuard "
                "_AutoDispatchBelowAutograd ScriptObject"
            ),
            "refusing": "parse_schema _jit_get_all_schemas _functionality_to_backend_keys",
        },
    ),
    "torch._C._functorch": (
        _BINDING,
        {
            "false": "is_batchedtensor is_gradtrackingtensor is_functorch_wrapped_tensor is_legacy_batchedtensor",
            "identity": "get_unwrapped",
            "refusing": "_add_batch_dim _remove_batch_dim",
        },
    ),
    "torch._dynamo": (
        _COMPILER,
        {
            "decorator": "disable allow_in_graph assume_constant_result disallow_in_graph forbid_in_graph nonstrict_trace",
            "nothing": (
                "mark_static_address mark_dynamic mark_static maybe_mark_dynamic reset reset_code_caches graph_break"
            ),
            "block": "set_stance error_on_graph_break",
            "false": "is_compiling is_dynamo_supported is_inductor_supported",
            "list": "list_backends",
            "class": "OptimizedModule",
            "refusing": "export explain optimize optimize_assert lookup_backend register_backend",
        },
    ),
    "torch._dynamo.eval_frame": (
        _COMPILER, {"false": "is_dynamo_supported is_inductor_supported", "class": "OptimizedModule", "refusing": "export"},
    ),
    "torch._dynamo.utils": (_COMPILER, {"false": "is_compile_supported"}),
    "torch._dynamo.decorators": (
        _COMPILER,
        {"nothing": "mark_static_address mark_dynamic mark_static", "decorator": "disable"},
    ),
    "torch._dynamo._trace_wrapped_higher_order_op": ("vmap takes tensors as indices", {"block": "TransformGetItemToIndex"}),
    "torch._dynamo.external_utils": (_COMPILER, {"false": "is_compiling"}),
    "torch._inductor": (
        _COMPILER, {"nothing": "cudagraph_mark_step_begin", "refusing": "compile aot_compile aoti_compile_and_package aoti_load_package"},
    ),
    "torch._logging": (_COMPILER, {"nothing": "set_logs", "block": "hide_warnings"}),
    "torch.compiler": (
        _COMPILER,
        {
            "nothing": "cudagraph_mark_step_begin reset",
            "block": "set_stance",
            "list": "list_backends",
            "decorator": "nested_compile_region skip_all_guards_unsafe",
            "refusing": "save_cache_artifacts load_cache_artifacts",
        },
    ),
    "torch.jit": (
        _SCRIPT,
        {
            "decorator": "_overload _overload_method _script_if_tracing",
            "nothing": "enable_onednn_fusion set_fusion_strategy",
            "false": "onednn_fusion_enabled",
            "class": "ScriptFunction TopLevelTracedModule TracedModule CompilationUnit Attribute",
            "base module": "ScriptModule RecursiveScriptModule",
            "constant": "Error TracerWarning isinstance",
            "identity": "optimize_for_inference freeze",
            "refusing": "load save trace trace_module _get_trace_graph fork wait jit_module_from_flatbuffer save_jit_module_to_flatbuffer",
        },
    ),
    "torch.jit.annotations": (
        "types are for the compiler of TorchScript",
        {"constant": "List Dict Optional Tuple Any BroadcastingList1 BroadcastingList2 BroadcastingList3"},
    ),
    "torch._jit_internal": (
        _SCRIPT,
        {
            "decorator": "_overload _overload_method export ignore unused",
            "false": "is_scripting",
            "constant": "List Dict Optional Tuple Any Final BroadcastingList1 BroadcastingList2 BroadcastingList3",
            "refusing": "boolean_dispatch",
        },
    ),
    "torch.jit._script": (_SCRIPT, {"base module": "ScriptModule RecursiveScriptModule", "class": "ScriptFunction"}),
    "torch.fx": (
        _GRAPHS,
        {
            "module": "GraphModule",
            "class": "Graph Node Proxy Tracer Interpreter Transformer CodeGen",
            "refusing": "symbolic_trace replace_pattern map_arg",
            "identity": "has_side_effect",
        },
    ),
    "torch.fx.node": (_GRAPHS, {"class": "Node", "constant": "Target Argument", "refusing": "map_arg map_aggregate"}),
    "torch.fx.graph": (_GRAPHS, {"class": "Graph CodeGen PythonCode"}),
    "torch.fx.proxy": (
        _GRAPHS, {"class": "Proxy TracerBase GraphAppendingTracer Attribute ParameterProxy", "constant": "TraceError"},
    ),
    "torch.fx.graph_module": (
        _GRAPHS, {"module": "GraphModule _CodeOnlyModule", "constant": "_USER_PRESERVED_ATTRIBUTES_KEY", "refusing": "_copy_attr"},
    ),
    "torch.fx._symbolic_trace": (
        _GRAPHS, {"class": "Tracer", "false": "is_fx_tracing is_fx_symbolic_tracing", "refusing": "symbolic_trace"},
    ),
    "torch.fx._compatibility": (_GRAPHS, {"decorator": "compatibility"}),
    "torch.fx._pytree": (_GRAPHS, {"nothing": "register_pytree_flatten_spec", "refusing": "tree_flatten_spec"}),
    "torch.fx.experimental.symbolic_shapes": (
        _SYMBOLS,
        {
            "identity": "guard_or_false guard_or_true guard_size_oblivious statically_known_true",
            "constant": "GuardOnDataDependentSymNode",
            "class": "ShapeEnv SymNode",
            "refusing": "free_symbols free_unbacked_symbols",
        },
    ),
    "torch.fx.experimental.proxy_tensor": (_GRAPHS, {"none": "get_proxy_mode", "refusing": "make_fx"}),
    "torch.fx.passes.infra.pass_base": (_GRAPHS, {"class": "PassBase PassResult"}),
    "torch.fx.traceback": (_GRAPHS, {"block": "annotate preserve_node_meta"}),
    "torch._subclasses": (_GRAPHS, {"class": "FakeTensor FakeTensorMode"}),
    "torch._subclasses.fake_tensor": (
        _GRAPHS, {"class": "FakeTensor FakeTensorMode", "block": "unset_fake_temporarily"},
    ),
    "torch._subclasses.functional_tensor": (
        _GRAPHS, {"class": "FunctionalTensor FunctionalTensorMode", "identity": "mb_unwrap_functional_tensor"},
    ),
    "torch._subclasses.meta_utils": (_GRAPHS, {"class": "MetaConverter"}),
    "torch._ops": (_GRAPHS, {"class": "HigherOrderOperator OpOverload OpOverloadPacket"}),
    "torch.library": (_GRAPHS, {"refusing": "wrap_triton"}),
    "torch._functorch.vmap": (
        _GRAPHS,
        {
            "refusing": (
                "_add_batch_dim _remove_batch_dim _maybe_remove_batch_dim _broadcast_to_and_flatten _create_batched_inputs "
                "_get_name _process_batched_inputs _unwrap_batched"
            ),
        },
    ),
    "torch._inductor.exc": (_COMPILER, {"constant": "InductorError"}),
    "torch.fx.passes.shape_prop": (_GRAPHS, {"class": "ShapeProp TensorMetadata"}),
    "torch.nested._internal.nested_tensor": ("there are no nested tensors", {"class": "NestedTensor"}),
    "functorch": (
        _GRAPHS,
        {
            "class": "FunctionalModule FunctionalModuleWithBuffers",
            "refusing": "combine_state_for_ensemble make_functional make_functional_with_buffers make_fx",
        },
    ),
    "functorch.compile": (
        _GRAPHS,
        {
            "refusing": (
                "aot_function aot_module aot_module_simplified compiled_function compiled_module draw_graph "
                "memory_efficient_fusion min_cut_rematerialization_partition default_partition ts_compile "
                "make_boxed_compiler make_boxed_func print_compile nop"
            ),
        },
    ),
    "torch._functorch": (_GRAPHS, {}),
    "torch._functorch.config": (_GRAPHS, {}),
    "torch._guards": (_COMPILER, {"none": "detect_fake_mode active_fake_mode", "class": "Source TracingContext"}),
    "torch._utils": (_SCRIPT, {"false": "is_compiling"}),
    "torch.export": (
        _EXPORT,
        {
            "class": "ShapesCollection AdditionalInputs UnflattenedModule",
            "refusing": "unflatten draft_export default_decompositions",
        },
    ),
    "torch.export._trace": (_EXPORT, {"refusing": "_export"}),
    "torch.export.decomp_utils": (_EXPORT, {"class": "CustomDecompTable"}),
    "torch.onnx": (
        _EXPORT,
        {
            "false": "is_in_onnx_export",
            "nothing": "register_custom_op_symbolic unregister_custom_op_symbolic",
            "class": "ONNXProgram JitScalarType ExportableModule",
            "constant": "OperatorExportTypes TrainingMode TensorProtoDataType OnnxExporterError",
            "refusing": "export select_model_mode_for_export",
        },
    ),
    "torch.onnx.operators": (_EXPORT, {"refusing": "shape_as_tensor reshape_from_tensor_shape"}),
    "torch.onnx.symbolic_helper": (
        _EXPORT, {"decorator": "parse_args quantized_args", "constant": "cast_pytorch_to_onnx"},
    ),
    "torch.onnx.symbolic_opset9": (_EXPORT, {"refusing": "masked_fill softmax add mul"}),
    "torch.onnx.symbolic_opset11": (_EXPORT, {"refusing": "select squeeze unsqueeze"}),
    "torch.onnx.symbolic_opset12": (_EXPORT, {"refusing": "dropout"}),
    "torch.ao": (_QUANTIZED, {}),
    "torch.ao.quantization": (
        _QUANTIZED,
        {
            "class": "QConfig QuantStub DeQuantStub QuantWrapper FakeQuantize MinMaxObserver ObserverBase FakeQuantizeBase QConfigMapping",
            "refusing": (
                "convert prepare prepare_qat quantize quantize_dynamic fuse_modules fuse_modules_qat get_default_qconfig "
                "get_default_qat_qconfig default_observer"
            ),
        },
    ),
    "torch.ao.quantization.quantize_fx": (_QUANTIZED, {"refusing": "convert_fx prepare_fx prepare_qat_fx fuse_fx"}),
    "torch.ao.nn": (_QUANTIZED, {}),
    "torch.ao.nn.quantized": (_QUANTIZED, {"class": "FloatFunctional QFunctional Linear Conv2d"}),
    "torch.quantization": (
        _QUANTIZED,
        {"class": "QConfig QuantStub DeQuantStub", "refusing": "convert prepare prepare_qat quantize_dynamic fuse_modules"},
    ),
    "torch.nn.quantized": (_QUANTIZED, {"class": "FloatFunctional QFunctional Linear Conv2d"}),
    "torch.xpu": _device("XPU"),
    "torch.mps": (
        "there is no MPS device",
        {
            "false": "is_available",
            "zero": "device_count current_allocated_memory driver_allocated_memory recommended_max_memory",
            "nothing": "empty_cache manual_seed seed",
            "class": "Event",
            "refusing": "get_rng_state set_rng_state synchronize compile_shader",
        },
    ),
    "torch.mtia": _only(
        _device("MTIA"),
        "is_tf32_supported is_current_stream_capturing max_memory_reserved memory_reserved reset_accumulated_memory_stats "
        "get_device_name mem_get_info",
    ),
    "torch.autograd.profiler": ("no profiler of NVIDIA's or Intel's listens", {"block": "emit_nvtx emit_itt"}),
    "torch.cuda": (
        _STREAMS,
        {
            "false": "is_current_stream_capturing is_tf32_supported",
            "list": "get_rng_state_all get_gencode_flags",
            "nothing": "set_rng_state_all set_per_process_memory_fraction",
            "class": "Stream CUDAGraph ExternalStream StreamContext MemPool",
            "constant": "default_generators",
            "zero": "memory_cached max_memory_cached",
            "refusing": "stream current_stream default_stream set_stream graph make_graphed_callables graph_pool_handle cudart",
        },
    ),
    "torch.cuda.streams": (_STREAMS, {"class": "Stream ExternalStream"}),
    "torch.cuda.graphs": (
        _STREAMS,
        {"class": "CUDAGraph", "false": "is_current_stream_capturing", "refusing": "graph make_graphed_callables"},
    ),
    "torch.cuda.nvtx": (
        "no profiler of NVIDIA's listens",
        {"nothing": "mark range_pop range_push range_start range_end", "block": "range"},
    ),
    "torch.cuda.tunable": (_STREAMS, {"nothing": "enable tuning_enable", "false": "is_enabled tuning_is_enabled"}),
    "torch.nested": (
        "there are no nested tensors",
        {"refusing": "nested_tensor as_nested_tensor to_padded_tensor nested_tensor_from_jagged narrow"},
    ),
    "torch.overrides": ("classes of tensors take part in operators, modes do not", {"class": "TorchFunctionMode BaseTorchFunctionMode"}),
    "torch.utils._python_dispatch": (
        "there is no dispatcher below operators", {"class": "TorchDispatchMode", "false": "is_traceable_wrapper_subclass"},
    ),
    "torch.package": ("code is not packed", {"class": "PackageExporter PackageImporter"}),
    "torch.utils.cpp_extension": (
        _BINDING,
        {
            "class": "CppExtension CUDAExtension BuildExtension",
            "constant": "CUDA_HOME",
            "refusing": "load load_inline include_paths library_paths",
            "false": "is_ninja_available",
        },
    ),
    "torch.utils.mobile_optimizer": (_SCRIPT, {"refusing": "optimize_for_mobile"}),
    "torch.distributed.rpc": (
        _RPC,
        {
            "false": "is_available",
            "class": "RRef RpcBackendOptions TensorPipeRpcBackendOptions WorkerInfo",
            "refusing": "init_rpc shutdown rpc_sync rpc_async remote get_worker_info",
        },
    ),
    "torch.distributed.autograd": (
        _RPC,
        {"false": "is_available", "class": "DistAutogradContext context", "refusing": "backward get_gradients"},
    ),
    "torch.distributed.rpc.api": (
        _RPC, {"refusing": "_all_gather rpc_sync rpc_async", "identity": "_require_initialized"},  # a decorator
    ),
    **devices.TABLE,
    **scattered.TABLE,
    "torch.utils._sympy": (_SYMBOLS, {}),
    "torch._prims_common": (_GRAPHS, {"class": "ELEMENTWISE_TYPE_PROMOTION_KIND"}),
    "torch._decomp": (
        _GRAPHS,
        {"refusing": "get_decompositions core_aten_decompositions", "decorator": "register_decomposition"},
    ),
    "torch._custom_ops": (_GRAPHS, {"refusing": "get_ctx"}),
}

MEMBERS = scattered.MEMBERS


def _joined(row: tuple[str, dict[str, str]], more: dict[str, str]) -> tuple[str, dict[str, str]]:
    kinds = {kind: f"{row[1].get(kind, '')} {more.get(kind, '')}".strip() for kind in {**row[1], **more}}
    return row[0], kinds


for _path, _more in scattered.MORE.items():
    TABLE[_path] = _joined(TABLE.get(_path, (_BINDING, {})), _more)


class JitError(RuntimeError):
    """What TorchScript raises: nothing here does."""


class TracerWarning(Warning):
    """What TorchScript's tracer warns with: nothing here does."""


class TraceError(ValueError):
    """What tracing a graph raises: nothing here does."""


class GuardOnDataDependentSymNode(RuntimeError):
    """What a symbolic size raises: nothing here does."""


class OnnxExporterError(RuntimeError):
    """What the exporter to ONNX raises: nothing here does."""


class TorchRuntimeError(RuntimeError):
    """What a compiled graph raises: nothing here does."""


class Unsupported(RuntimeError):
    """What a compiler raises for source that it can't trace: nothing here does."""


class BackendCompilerFailed(RuntimeError):
    """What a compiler's back end raises: nothing here does."""


class InductorError(RuntimeError):
    """What a compiler raises: nothing here does."""


class _BroadcastingList:
    """``BroadcastingList2[int]`` in an annotation is a list of its type."""

    def __getitem__(self, kind: Any) -> Any:
        return list[kind]


def _of_typing(path: str, names: str) -> dict[str, Any]:
    return {f"{path}.{name}": getattr(typing, name) for name in names.split()}


def _lists(path: str) -> dict[str, Any]:
    return {f"{path}.BroadcastingList{n}": _BroadcastingList() for n in (1, 2, 3)}


#: The values of the names of kind "constant".
CONSTANTS: dict[str, Any] = {
    **ABSENT_TYPES,
    **members(
        "torch._C.DispatchKey", "CPU CUDA XPU Meta Autograd AutogradCPU AutogradCUDA AutocastCPU AutocastCUDA AutocastXPU "
        "CompositeImplicitAutograd CompositeExplicitAutograd FuncTorchDynamicLayerFrontMode Python BackendSelect ADInplaceOrView"
    ),
    "torch.jit.Error": JitError,
    "torch.jit.TracerWarning": TracerWarning,
    "torch.jit.isinstance": isinstance,
    **_of_typing("torch.jit.annotations", "List Dict Optional Tuple Any"),
    **_of_typing("torch._jit_internal", "List Dict Optional Tuple Any Final"),
    **_lists("torch.jit.annotations"),
    **_lists("torch._jit_internal"),
    "torch.fx.node.Target": typing.Any,
    "torch.fx.node.Argument": typing.Any,
    "torch.fx.proxy.TraceError": TraceError,
    "torch.fx.graph_module._USER_PRESERVED_ATTRIBUTES_KEY": "_user_preserved_attributes",
    "torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode": GuardOnDataDependentSymNode,
    **members(
        "torch.onnx.OperatorExportTypes", "ONNX ONNX_ATEN ONNX_ATEN_FALLBACK ONNX_FALLTHROUGH"
    ),
    **members(
        "torch.onnx.TrainingMode", "EVAL TRAINING PRESERVE"
    ),
    **members(
        "torch.onnx.TensorProtoDataType", "FLOAT INT64 INT32 BOOL DOUBLE FLOAT16 BFLOAT16 UINT8 INT8 UNDEFINED"
    ),
    "torch.onnx.OnnxExporterError": OnnxExporterError,
    "torch.onnx.symbolic_helper.cast_pytorch_to_onnx": {},
    **devices.CONSTANTS,
    **scattered.CONSTANTS,
    "torch.cuda.default_generators": (),
    "torch._dynamo.exc.TorchRuntimeError": TorchRuntimeError,
    "torch._dynamo.exc.Unsupported": Unsupported,
    "torch._dynamo.exc.BackendCompilerFailed": BackendCompilerFailed,
    "torch._inductor.exc.InductorError": InductorError,
    "torch.utils.cpp_extension.CUDA_HOME": None,
}
