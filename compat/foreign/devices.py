"""Names of ``torch.distributed`` for several devices, part of `table`: they can be imported."""

from __future__ import annotations

import datetime
from typing import Any

from .members import members

__all__ = ["CONSTANTS", "TABLE"]

_DEVICES = "jaxnn.distributed has groups, collectives, messages, DDP, ZeRO, pipelines, meshes, DTensor and FSDP, and no more"

TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "torch.distributed": (
        _DEVICES,
        {
            "refusing": "_rank_not_in_group get_pg_count register_rendezvous_handler rendezvous shrink_group split_group",
        },
    ),
    "torch.distributed._functional_collectives": (
        _DEVICES,
        {
            "class": "AsyncCollectiveTensor",
            "refusing": (
                "all_gather_tensor all_to_all_single all_to_all_single_autograd permute_tensor "
                "wait_tensor"
            ),
        },
    ),
    "torch.distributed._tensor.experimental": (
        _DEVICES,
        {
            "refusing": "implicit_replication",
        },
    ),
    "torch.distributed.algorithms.ddp_comm_hooks.ddp_zero_hook": (
        _DEVICES,
        {
            "refusing": "hook_with_zero_step hook_with_zero_step_interleaved",
        },
    ),
    "torch.distributed.algorithms.ddp_comm_hooks.optimizer_overlap_hooks": (
        _DEVICES,
        {
            "class": "_OptimizerHookState",
        },
    ),
    "torch.distributed.algorithms.ddp_comm_hooks.quantization_hooks": (
        _DEVICES,
        {
            "refusing": "quantization_perchannel_hook quantization_pertensor_hook",
        },
    ),
    "torch.distributed.algorithms.model_averaging.hierarchical_model_averager": (
        _DEVICES,
        {
            "class": "HierarchicalModelAverager",
        },
    ),
    "torch.distributed.checkpoint": (
        _DEVICES,
        {
            "class": "LoadPlan LoadPlanner ReadItem SavePlan SavePlanner StorageReader StorageWriter WriteItem",
            "refusing": "load_state_dict save_state_dict",
        },
    ),
    "torch.distributed.checkpoint._consolidate_hf_safetensors": (
        _DEVICES,
        {
            "refusing": "consolidate_safetensors_files",
        },
    ),
    "torch.distributed.checkpoint.default_planner": (
        _DEVICES,
        {
            "class": "DefaultLoadPlanner DefaultSavePlanner",
        },
    ),
    "torch.distributed.checkpoint.format_utils": (
        _DEVICES,
        {
            "class": "_EmptyStateDictLoadPlanner",
            "refusing": "_load_state_dict",
        },
    ),
    "torch.distributed.checkpoint.hf_storage": (
        _DEVICES,
        {
            "class": "HuggingFaceStorageReader HuggingFaceStorageWriter",
        },
    ),
    "torch.distributed.checkpoint.optimizer": (
        _DEVICES,
        {
            "refusing": "load_sharded_optimizer_state_dict",
        },
    ),
    "torch.distributed.checkpoint.state_dict_loader": (
        _DEVICES,
        {
            "refusing": "_load_state_dict",
        },
    ),
    "torch.distributed.constants": (
        _DEVICES,
        {
            "constant": "default_pg_timeout",
        },
    ),
    "torch.distributed.distributed_c10d": (
        _DEVICES,
        {
            "refusing": "_get_default_group is_xccl_available",
        },
    ),
    "torch.distributed.elastic.multiprocessing.errors": (
        _DEVICES,
        {
            "class": "ChildFailedError",
            "decorator": "record",
        },
    ),
    "torch.distributed.launcher.api": (
        _DEVICES,
        {
            "class": "LaunchConfig elastic_launch",
        },
    ),
    "torch.distributed.optim": (
        _DEVICES,
        {
            "class": "DistributedOptimizer",
            "refusing": "as_functional_optim",
        },
    ),
    "torch.distributed.pipelining": (
        _DEVICES,
        {
            "class": "Pipe ScheduleDualPipeV ScheduleInterleavedZeroBubble ScheduleZBVZeroBubble",
            "constant": "SplitPoint",
            "refusing": "build_stage pipe_split pipeline",
        },
    ),
    "torch.distributed.run": (
        _DEVICES,
        {
            "refusing": "get_args_parser main run",
        },
    ),
    "torch.distributed.tensor._utils": (
        _DEVICES,
        {
            "refusing": "compute_local_shape_and_global_offset",
        },
    ),
    "torch.distributed.tensor.experimental": (
        _DEVICES,
        {
            "refusing": "context_parallel",
        },
    ),
    "torch.distributed.tensor.experimental._attention": (
        _DEVICES,
        {
            "refusing": "set_rotate_method",
        },
    ),
    "torch.distributed.tensor.placement_types": (
        _DEVICES,
        {
            "class": "_StridedShard",
        },
    ),
    "torch.distributed.utils": (
        _DEVICES,
        {
            "refusing": "_sync_module_states",
        },
    ),
}

CONSTANTS: dict[str, Any] = {
    "torch.distributed.constants.default_pg_timeout": datetime.timedelta(minutes=30),
    **members(
        "torch.distributed.fsdp.ShardingStrategy",
        "FULL_SHARD HYBRID_SHARD NO_SHARD SHARD_GRAD_OP _HYBRID_SHARD_ZERO2"
    ),
    **members(
        "torch.distributed.fsdp.fully_sharded_data_parallel.ShardingStrategy",
        "FULL_SHARD HYBRID_SHARD NO_SHARD SHARD_GRAD_OP _HYBRID_SHARD_ZERO2"
    ),
    **members("torch.distributed.fsdp.StateDictType", "FULL_STATE_DICT LOCAL_STATE_DICT SHARDED_STATE_DICT"),
    **members(
        "torch.distributed.fsdp.fully_sharded_data_parallel.StateDictType",
        "FULL_STATE_DICT LOCAL_STATE_DICT SHARDED_STATE_DICT"
    ),
    **members("torch.distributed.fsdp.OptimStateKeyType", "PARAM_ID PARAM_NAME"),
    **members("torch.distributed.fsdp.BackwardPrefetch", "BACKWARD_POST BACKWARD_PRE"),
    **members(
        "torch.distributed.fsdp.api.StateDictType",
        "FULL_STATE_DICT LOCAL_STATE_DICT SHARDED_STATE_DICT"
    ),
    **members("torch.distributed.pipelining.SplitPoint", "BEGINNING END"),
    **members(
        "torch.distributed.fsdp.api.ShardingStrategy",
        "FULL_SHARD HYBRID_SHARD NO_SHARD SHARD_GRAD_OP _HYBRID_SHARD_ZERO2"
    ),
}
