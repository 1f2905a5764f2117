"""Names of PyTorch's inner modules that packages mention here and there, part of `table`."""

from __future__ import annotations

from typing import Any

from .members import members

__all__ = ["CONSTANTS", "MEMBERS", "TABLE"]

_COMPILER = "nothing is compiled from source"
_STREAMS = "XLA schedules by itself, there are no streams"
_PARTS = "this is a part of PyTorch's own engine"
_QUANTIZED = "quantised tensors and modules are not here"
_RPC = "there are no remote calls"
_PIPES = "data pipes have gone from PyTorch's own libraries; utils.data has datasets and loaders"
_PRODUCTS = "products in 8-bit types run on some GPUs only"
_NESTED = "there are no nested tensors"
_MASKED = "tensors do not carry masks; the functions of torch.masked take them"
_FLASH = "XLA chooses how attention is computed"

TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "torch._tensor_str": (_PARTS, {"refusing": "_str _str_intern _tensor_str _add_suffixes"}),
    "torch._inductor.cpu_vec_isa": (_COMPILER, {"refusing": "pick_vec_isa"}),
    "torch._inductor.runtime": (_COMPILER, {}),
    "torch._inductor.runtime.cache_dir_utils": (_COMPILER, {"refusing": "cache_dir"}),
    "torch._dynamo.exc": (_COMPILER, {"constant": "TorchRuntimeError Unsupported BackendCompilerFailed TensorifyScalarRestartAnalysis"}),
    "torch._C._distributed_c10d": ("jaxnn.distributed runs one process only", {"class": "Reducer"}),
    "torch._C._distributed_rpc": (_RPC, {"false": "_is_current_rpc_agent_set"}),
    "torch.ao.quantization.fx": (_QUANTIZED, {}),
    "torch.ao.quantization.fx._decomposed": (_QUANTIZED, {}),
    "torch.ao.ns": (_QUANTIZED, {}),
    "torch.ao.pruning": (_QUANTIZED, {}),
    "torch.autograd.profiler_legacy": ("jaxnn.profiler is over jax.profiler", {"class": "profile"}),
    "torch.backends.quantized": (_QUANTIZED, {"constant": "engine supported_engines"}),
    "torch.backends.xnnpack": ("XLA takes the place of such libraries", {"constant": "enabled"}),
    "torch.backends.nnpack": ("XLA takes the place of such libraries", {"false": "is_available set_flags"}),
    "torch.backends.kleidiai": ("XLA takes the place of such libraries", {"false": "is_available"}),
    "torch.backends.cusparselt": ("XLA takes the place of such libraries", {"false": "is_available"}),
    "torch.cuda.profiler": ("no profiler of NVIDIA's listens", {"nothing": "start stop", "block": "profile"}),
    "torch.cuda.nccl": ("JAX's runtime moves the bytes", {"false": "is_available", "refusing": "version all_reduce broadcast reduce"}),
    "torch.cuda.comm": ("jax.sharding places arrays on several devices", {"refusing": "broadcast reduce_add scatter gather"}),
    "torch.cuda.sparse": ("types of sparse CUDA tensors are torch.sparse_coo_tensor's", {}),
    "torch.masked.maskedtensor": (_MASKED, {}),
    "torch.monitor": (
        "nothing is monitored", {"class": "Aggregation Event Stat TensorboardEventHandler", "refusing": "log_event register_event_handler"},
    ),
    "torch.nn.attention.bias": (
        "give scaled_dot_product_attention is_causal=True, or a mask by torch.tril(..., diagonal=S - L)",
        {"class": "CausalBias", "refusing": "causal_lower_right causal_upper_left", "constant": "CausalVariant"},
    ),
    "torch.nn.attention.varlen": (_FLASH, {"refusing": "varlen_attn"}),
    "torch.numa": (_PARTS, {}),
    "torch.numa.binding": (_PARTS, {"class": "NumaOptions", "constant": "AffinityMode"}),
    "torch.profiler.profiler": (_PARTS, {}),
    "torch.jit._recursive": ("there is no TorchScript", {"constant": "concrete_type_store"}),
    "torch.utils._foreach_utils": (_PARTS, {"false": "_has_foreach_support"}),
    "torch.utils._sympy.numbers": ("shapes are numbers", {"class": "IntInfinity"}),
    "torch.utils._sympy.value_ranges": ("shapes are numbers", {"class": "ValueRanges"}),
    "torch.utils.data.datapipes": (_PIPES, {}),
    "torch.utils.data.datapipes.iter": (_PIPES, {"class": "Batcher IterableWrapper Mapper Filter Shuffler Zipper"}),
    "torch.utils.data.datapipes.iter.combinatorics": (_PIPES, {"class": "ShufflerIterDataPipe"}),
    "torch.utils.data.datapipes.datapipe": (_PIPES, {"class": "IterDataPipe MapDataPipe DFIterDataPipe DataChunk"}),
    "torch.utils.data.graph": (_PIPES, {"refusing": "traverse traverse_dps"}),
    "torch.utils.data.graph_settings": (
        _PIPES, {"refusing": "apply_shuffle_settings apply_random_seed apply_sharding get_all_graph_pipes"},
    ),
    "torch.utils.data": (
        _PIPES,
        {"decorator": "functional_datapipe"},
    ),
    "torch.utils.collect_env": (
        "jax.print_environment_info() says what is installed", {"refusing": "get_env_info get_pretty_env_info main"},
    ),
    "torch.utils.module_tracker": (_PARTS, {"class": "ModuleTracker"}),
    "torch.utils.bundled_inputs": ("there is no TorchScript", {"refusing": "bundle_inputs augment_model_with_bundled_inputs"}),
    "torch.utils.throughput_benchmark": (_PARTS, {"class": "ThroughputBenchmark"}),
    "torch.utils.mkldnn": ("XLA takes the place of such libraries", {"refusing": "to_mkldnn"}),
    "torch.utils.backend_registration": (
        "kinds of devices are JAX's plugins", {"refusing": "rename_privateuse1_backend generate_methods_for_privateuse1_backend"},
    ),
    "torch.utils.data._utils.worker": (_PARTS, {"constant": "_worker_info"}),
    "torch.nn.functional": (_PRODUCTS, {"refusing": "grouped_mm scaled_mm scaled_grouped_mm", "constant": "ScalingType SwizzleType"}),
    "torch.sparse": (
        "sparse tensors are made by torch.sparse_coo_tensor",
        {"class": "FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor IntTensor", "refusing": "spdiags"},
    ),
    "torch.masked": (_MASKED, {"class": "MaskedTensor", "refusing": "masked_tensor as_masked_tensor"}),
    "torch.autograd": (_PARTS, {"false": "_profiler_enabled", "refusing": "_disable_profiler"}),
    "torch._prims": (_PARTS, {}),
    "torch._refs": (_PARTS, {}),
    "torch._lowrank": (_PARTS, {}),
}  # fmt: skip

#: Rows that join those of the same module in `table`: module -> kind -> names.
MORE: dict[str, dict[str, str]] = {
    "torch": {
        "refusing": (
            "_scaled_mm _grouped_mm _segment_reduce _make_per_tensor_quantized_tensor _sample_dirichlet _softmax_backward_data "
            "sparse_csc_tensor dsmm hsmm lobpcg"
        ),
        "constant": (
            "float8_e8m0fnu "
            "float4_e2m1fn_x2 bits8 legacy_contiguous_format "
            "per_tensor_affine per_channel_affine per_tensor_symmetric per_channel_symmetric"
        ),
    },
    "torch._C": {
        "false": "_get_accelerator", "nothing": "_jit_set_nvfuser_guard_mode",
        "refusing": "_get_default_device _get_privateuse1_backend_name",
    },
    "torch._inductor": {"list": "list_mode_options"},
    "torch._prims_common": {"refusing": "is_contiguous_or_false"},
    "torch._subclasses.fake_tensor": {"false": "is_fake"},
    "torch._utils": {"refusing": "_rebuild_parameter _rebuild_tensor_v2"},
    "torch.compiler": {
        "refusing": "load_compiled_function wrap_numpy substitute_in_graph", "none": "set_default_backend set_enable_guard_collectives",
    },
    "torch.cuda": {
        "constant": "_initialized",
        "list": "get_arch_list", "none": "get_per_process_memory_fraction", "nothing": "_lazy_call",
        "class": (
            "FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor IntTensor ShortTensor CharTensor ByteTensor BoolTensor"
        ),
        "refusing": "utilization temperature power_draw clock_rate memory_usage list_gpu_processes memory_snapshot",
    },
    "torch.ao.quantization": {
        "refusing": (
            "default_weight_observer default_per_channel_weight_observer default_qconfig "
            "prepare_jit convert_jit get_observer_state_dict"
        ),
        "class": "HistogramObserver MovingAverageMinMaxObserver PerChannelMinMaxObserver PlaceholderObserver NoopObserver",
    },
    "torch.nested": {"refusing": "masked_select"},
    "torch.distributed.distributed_c10d": {"refusing": "_pg_map"},
    "torch.cuda.random": {"list": "get_rng_state_all", "nothing": "set_rng_state_all"},
    "torch._tensor": {"refusing": "_rebuild_from_type_v2"},
    "torch.overrides": {"list": "get_default_nowrap_functions"},
    "torch.utils.tensorboard.summary": {"refusing": "hparams"},
}  # fmt: skip

#: Class -> functions of it that refuse: some are asked for where a class is only mentioned.
MEMBERS: dict[str, str] = {
    "DTensor": "from_local",
    "FullyShardedDataParallel": (
        "state_dict_type optim_state_dict optim_state_dict_to_load rekey_optim_state_dict summon_full_params fsdp_modules "
        "set_state_dict_type clip_grad_norm_"
    ),
    "Dim": "AUTO DYNAMIC STATIC",
}


class TensorifyScalarRestartAnalysis(Exception):
    """What PyTorch's compiler raises: nothing here does."""


class _TypeStore:
    type_store: dict[Any, Any] = {}


class _Value:
    """A type of elements, or a way to lay them out, that JAX does not have: it can be named and compared."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name



CONSTANTS: dict[str, Any] = {
    "torch._dynamo.exc.TensorifyScalarRestartAnalysis": TensorifyScalarRestartAnalysis,
    "torch.backends.quantized.engine": "none",
    "torch.backends.quantized.supported_engines": ["none"],
    "torch.backends.xnnpack.enabled": False,
    **members("torch.numa.binding.AffinityMode", "NODE SOCKET EXCLUSIVE CORE_COMPLEX"),
    "torch.jit._recursive.concrete_type_store": _TypeStore(),
    **{f"torch.{name}": _Value(f"torch.{name}") for name in MORE["torch"]["constant"].split()},
    "torch.utils.data._utils.worker._worker_info": None,
    "torch.cuda._initialized": False,
    **members("torch.nn.attention.bias.CausalVariant", "UPPER_LEFT LOWER_RIGHT"),
    **members("torch.nn.functional.ScalingType", "TensorWise RowWise BlockWise1x16 BlockWise1x32 BlockWise1x128 BlockWise128x128"),
    **members("torch.nn.functional.SwizzleType", "NO_SWIZZLE SWIZZLE_32_4_4"),
}
