"""What of jaxnn is seen as `torch`: its modules by path, and its names.

A module of jaxnn's answers under PyTorch's name where its path stands here; all others (`core`, `ops`, `compat`, `vision`, the
files that a namespace is written in) stay out of sight. Of a module's names those in ``__all__`` are seen, less `OWN`, with `PRIVATE`.
"""

from __future__ import annotations

from jaxnn.foreach import __all__ as FOREACH
from jaxnn.ops.common import return_types

RETURN_TYPES = " ".join(n for n, kind in vars(return_types).items() if isinstance(kind, type) and hasattr(kind, "_fields"))
__all__ = ["ELSEWHERE", "OWN", "PATHS", "PRIVATE", "TOPS", "TORCHVISION"]

#: The packages that a door may answer for.
TOPS = ("torch", "functorch", "torchvision")

_TREES = {
    "": (
        "_C accelerator amp autograd backends compiler cpu cuda distributed distributions export fft func futures "
        "fx hub jit library linalg masked multiprocessing nn optim overrides profiler "
        "quasirandom random serialization signal sparse special storage testing torch_version types utils version "
        "__config__"
    ),
    "amp": "autocast_mode grad_scaler",
    "autograd": "anomaly_mode forward_ad function functional gradcheck graph profiler variable",
    "backends": "cpu cuda cudnn mha mkl mkldnn mps openmp opt_einsum quantized",
    "cpu": "amp",
    "cuda": "amp",
    "distributed": "algorithms checkpoint device_mesh fsdp nn nn.functional optim pipelining tensor",
    "distributed.algorithms": "_checkpoint _checkpoint.checkpoint_wrapper ddp_comm_hooks join model_averaging model_averaging.averagers",
    "distributed.algorithms.ddp_comm_hooks": "debugging_hooks default_hooks post_localSGD_hook powerSGD_hook",
    "distributed.pipelining": "microbatch schedules stage",
    "distributed.optim": "post_localSGD_optimizer zero_redundancy_optimizer",
    "distributed.checkpoint": "state_dict stateful",
    "distributed.fsdp": "api fully_sharded_data_parallel sharded_grad_scaler wrap",
    "distributed.tensor": "parallel placement_types",
    "distributions": (
        "bernoulli beta binomial categorical cauchy chi2 constraint_registry constraints continuous_bernoulli dirichlet "
        "distribution exp_family exponential fishersnedecor gamma generalized_pareto geometric gumbel half_cauchy half_normal "
        "independent inverse_gamma kl kumaraswamy laplace lkj_cholesky log_normal logistic_normal lowrank_multivariate_normal "
        "mixture_same_family multinomial multivariate_normal negative_binomial normal one_hot_categorical pareto poisson "
        "relaxed_bernoulli relaxed_categorical studentT transformed_distribution transforms uniform utils von_mises weibull "
        "wishart"
    ),
    "nn": (
        "attention attention.bias attention.flex_attention common_types functional grad init modules parallel "
        "parallel.data_parallel parallel.distributed parameter utils"
    ),
    "nn.modules": (
        "activation adaptive batchnorm channelshuffle container conv distance dropout flatten fold instancenorm lazy linear "
        "loss module normalization padding pixelshuffle pooling rnn sparse transformer upsampling utils"
    ),
    "nn.utils": (
        "clip_grad convert_parameters fusion init memory_format parametrizations parametrize prune rnn stateless"
    ),
    "optim": (
        "adadelta adagrad adam adamax asgd lbfgs lr_scheduler nadam optimizer radam rmsprop rprop sgd sparse_adam swa_utils"
    ),
    "signal": "windows",
    "utils": (
        "_pytree benchmark checkpoint data dlpack flop_counter hooks tensorboard"
    ),
    "utils.data": "dataloader dataset distributed sampler",
    "utils.tensorboard": "writer",
}

#: Modules of PyTorch's that a module of jaxnn's of the same path answers for, where there is one.
PATHS = frozenset(
    f"torch.{parent}.{name}".replace("..", ".") for parent, names in _TREES.items() for name in names.split()
) | {"torch"}

#: Modules of torchvision's that `jaxnn.vision` answers for.
TORCHVISION = frozenset(
    "torchvision" + name
    for name in ("", ".datasets", ".io", ".models", ".ops", ".transforms", ".transforms.functional",
                 ".transforms.v2", ".transforms.v2.functional", ".utils")
)  # fmt: skip

#: Public names of jaxnn's that PyTorch's module of this path does not have.
OWN = {
    "torch": (
        "Trainable engine_statistics finish follow_jax_default_device jax_function top_level_layers "
        "reset_engine_statistics set_execution_mode Any annotations absolute_ bitwise_not_ fork_rng special_expit"
    ),
    "torch.autograd": "FunctionCtx GradcheckError is_anomaly_check_nan_enabled is_anomaly_enabled set_anomaly_enabled",
    "torch.autograd.anomaly_mode": "is_anomaly_check_nan_enabled is_anomaly_enabled set_anomaly_enabled",
    "torch.export": "UserError",
    "torch.library": "registered CustomOpDef",
    "torch.multiprocessing": "ProcessException",
    "torch.nn": "BatchStat Trainable",
    "torch.nn.common_types": "TypeAlias",
    "torch.nn.modules": "Any annotations",
    "torch.version": "annotations cudnn",
    "torch.nn.modules.padding": "_PadNd _ZeroPadNd",
    "torch.nn.parameter": "BatchStat Trainable as_buffer",
    "torch.nn.utils.clip_grad": "clip_grads_with_norm_ get_total_norm",
    "torch.optim": "register_optimizer_step_post_hook register_optimizer_step_pre_hook",
    "torch.optim.adam": "AdamW",
    "torch.serialization": "FromRecords check_mmap check_pickle_module to_record",
    "torch.sparse": "SparseTensor",
    "torch.utils.data": "WorkerInfo prefetch_to_device",
    "torch.utils.data.sampler": "draw_seed",
}

#: Names of PyTorch's that jaxnn's module has without listing them.
PRIVATE = {
    "torch": "_assert _assert_async _check _check_index _check_is_size _check_not_implemented _check_tensor_all "
    "_check_tensor_all_with _check_type _check_value _check_with " + " ".join(FOREACH),
    "torch.amp.autocast_mode": "_cast",
    "torch.autograd.forward_ad": "_current_level _set_fwd_grad_enabled _is_fwd_grad_enabled",
    "torch.autograd.graph": "_MultiHandle RemovableHandle",
    "torch.distributed.fsdp.wrap": "_module_wrap_policy _or_policy",
    "torch.distributions.utils": "_standard_normal _sum_rightmost",
    "torch.hub": "_get_torch_home",
    "torch.nn.attention.flex_attention": "_DEFAULT_SPARSE_BLOCK_SIZE",
    "torch.nn.common_types": (
        "_size_any_t _size_1_t _size_2_t _size_3_t _size_4_t _size_5_t _size_6_t _size_any_opt_t _size_2_opt_t _size_3_opt_t "
        "_ratio_any_t _ratio_2_t _ratio_3_t _tensor_list_t _maybe_indices_t _scalar_or_tuple_any_t _scalar_or_tuple_1_t "
        "_scalar_or_tuple_2_t _scalar_or_tuple_3_t _scalar_or_tuple_4_t _scalar_or_tuple_5_t _scalar_or_tuple_6_t"
    ),
    "torch.distributions.kl": "_KL_REGISTRY",
    "torch.nn.grad": "_pair",
    "torch.nn.init": "_calculate_correct_fan _calculate_fan_in_and_fan_out",
    "torch.nn.modules.utils": (
        "_ntuple _single _pair _triple _quadruple _reverse_repeat_tuple _list_with_default"
    ),
    "torch.nn.utils.parametrizations": "_Orthogonal _WeightNorm _SpectralNorm",
    "torch.nn.utils.parametrize": "_cache Tensor ModuleDict ModuleList Module Parameter",
    "torch.nn.utils.rnn": "PackedSequence_",
    "torch.optim.adadelta": "Optimizer",
    "torch.optim.adagrad": "Optimizer",
    "torch.optim.adam": "Optimizer adam",
    "torch.optim.adamax": "Optimizer",
    "torch.optim.asgd": "Optimizer",
    "torch.optim.lbfgs": "Optimizer",
    "torch.optim.lr_scheduler": "Optimizer _LRScheduler",
    "torch.optim.nadam": "Optimizer",
    "torch.optim.optimizer": "ParamsT RemovableHandle required",
    "torch.optim.radam": "Optimizer",
    "torch.optim.rmsprop": "Optimizer",
    "torch.optim.rprop": "Optimizer",
    "torch.optim.sgd": "Optimizer sgd",
    "torch.optim.sparse_adam": "Optimizer",
    "torch.optim.swa_utils": "Module LRScheduler",
    "torch.serialization": "DEFAULT_PROTOCOL",
    "torch.types": "Tensor Size _int _float _bool _dtype _device _size _TensorOrTensors",
    "torch.utils.data.dataloader": "default_collate default_convert BatchSampler RandomSampler SequentialSampler",
    "torch.utils.data.dataset": "Generator default_generator",
    "torch.utils.data.distributed": "Sampler",
    "torch.utils.tensorboard.writer": "FileWriter",
}

#: PyTorch's module -> our module -> names (``theirs=ours`` where they differ) that stand there, beside those of a module of the same path.
ELSEWHERE: dict[str, dict[str, str]] = {
    "torch": {
        "jaxnn.utils.dlpack": "to_dlpack",
        "jaxnn.core.kinds.size": "jagged sparse_bsc sparse_bsr sparse_csc",
        "jaxnn.compat.foreign.plumbing": "get_device_module _shape_as_tensor=shape_as_tensor _cast_Long=cast_long",
        "jaxnn.compat.foreign.row_starts": (
            "_convert_indices_from_coo_to_csr=row_starts _convert_indices_from_csr_to_coo=row_numbers"
        ),
        "jaxnn.symbolic": "sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum",
    },
    "torch._higher_order_ops": {"jaxnn.associative_scan": "associative_scan", "jaxnn.control_flow": "cond scan while_loop"},
    "torch._higher_order_ops.associative_scan": {"jaxnn.associative_scan": "associative_scan"},
    "torch._higher_order_ops.cond": {"jaxnn.control_flow": "cond"},
    "torch._higher_order_ops.scan": {"jaxnn.control_flow": "scan"},
    "torch._higher_order_ops.while_loop": {"jaxnn.control_flow": "while_loop"},
    "torch._dynamo.exc": {"jaxnn.export": "UserError"},
    "torch.export.dynamic_shapes": {"jaxnn.export": "Dim dims"},
    "torch.export.exported_program": {"jaxnn.export": "ExportedProgram"},
    "torch._tensor": {"jaxnn": "Tensor"},
    "torch._tensor_str": {"jaxnn.core.kinds.printing": "PRINT_OPTS=_options get_printoptions printoptions set_printoptions"},
    "torch.accelerator": {"jaxnn.cuda": "get_memory_info=mem_get_info"},
    "torch.nn.init": {
        "jaxnn.nn.init": (
            "_no_grad_fill_=constant_ _no_grad_normal_=normal_ _no_grad_uniform_=uniform_ _no_grad_zero_=zeros_"
        ),
    },
    "torch.profiler.profiler": {"jaxnn.profiler": "profile schedule tensorboard_trace_handler ProfilerAction ProfilerActivity"},
    "torch.return_types": {"jaxnn.ops.common.return_types": RETURN_TYPES},
    "torch.optim.optimizer": {"jaxnn.optim.optimizer": "ParamsT _use_grad_for_differentiable _default_to_fused_or_foreach"},
    "torch.distributions.multivariate_normal": {
        "jaxnn.distributions.multivariate_normal": (
            "_batch_mahalanobis=mahalanobis _batch_mv=batch_mv _precision_to_scale_tril=precision_to_scale_tril"
        ),
    },
    "torch.distributions.transforms": {"jaxnn.distributions.base_transforms": "_InverseTransform"},
    "torch._functorch.vmap": {"jaxnn": "Tensor", "jaxnn.utils._pytree": "tree_flatten tree_unflatten"},
    "torch._utils": {
        "jaxnn.compat.foreign.plumbing": (
            "_element_size=element_size _flatten_dense_tensors=flatten_dense_tensors _get_device_index=device_index "
            "_get_available_device_type=available_device_type _get_device_module=get_device_module "
            "_unflatten_dense_tensors=unflatten_dense_tensors"
        ),
    },
    "torch.serialization": {"jaxnn.compat.foreign.plumbing": "DEFAULT_PROTOCOL MAP_LOCATION"},
    "torch.nn.modules.module": {
        "jaxnn.compat.foreign.plumbing": (
            "_EXTRA_STATE_KEY_SUFFIX _global_backward_hooks _global_backward_pre_hooks _global_buffer_registration_hooks "
            "_global_forward_hooks _global_forward_pre_hooks _global_module_registration_hooks "
            "_global_parameter_registration_hooks"
        ),
    },
    "torch.nn.parameter": {"jaxnn.compat.foreign.plumbing": "UninitializedTensorMixin _ParameterMeta"},
    "torch.nn.parallel": {"jaxnn.compat.foreign.plumbing": "gather parallel_apply replicate scatter"},
    "torch.nn.parallel.parallel_apply": {"jaxnn.compat.foreign.plumbing": "parallel_apply"},
    "torch.nn.parallel.replicate": {"jaxnn.compat.foreign.plumbing": "replicate"},
    "torch.nn.parallel.scatter_gather": {"jaxnn.compat.foreign.plumbing": "gather is_namedtuple scatter scatter_kwargs"},
    "torch.utils._contextlib": {
        "jaxnn.compat.foreign.plumbing": "_DecoratorContextManager=DecoratorContextManager context_decorator",
    },
    "torch.utils._foreach_utils": {"jaxnn.compat.foreign.plumbing": "_group_tensors_by_device_and_dtype=group_tensors"},
    "torch.utils.checkpoint": {"jaxnn.compat.foreign.plumbing": "get_device_states=device_states set_device_states"},
    "torch.autograd.grad_mode": {"jaxnn": "enable_grad inference_mode no_grad set_grad_enabled"},
    "torch.cuda.amp.autocast_mode": {"jaxnn.cuda.amp": "autocast custom_bwd custom_fwd"},
    "torch.cuda.amp.grad_scaler": {"jaxnn.cuda.amp": "GradScaler"},
    "torch.cuda.random": {
        "jaxnn.cuda": "get_rng_state initial_seed manual_seed manual_seed_all seed seed_all set_rng_state",
    },
    "torch.cuda.memory": {
        "jaxnn.cuda": (
            "empty_cache max_memory_allocated max_memory_reserved mem_get_info memory_allocated memory_reserved memory_stats "
            "memory_summary reset_max_memory_allocated reset_peak_memory_stats"
        ),
    },
    "torch.functional": {
        "jaxnn": (
            "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul "
            "einsum istft lu meshgrid norm split stft tensordot unique unique_consecutive unravel_index"
        ),
    },
    "torch.nn.modules.transformer": {"jaxnn.nn.transformer": "_get_activation_fn=_activation"},
    "torch.nn.modules.linear": {"jaxnn.nn.attention_layers": "NonDynamicallyQuantizableLinear"},
    "torch.library": {"jaxnn.library": "triton_op=custom_op"},
    "torch.nn.parallel.data_parallel": {"jaxnn.nn.parallel": "DataParallel data_parallel"},
    "torch.nn.parallel.distributed": {"jaxnn.nn.parallel": "DistributedDataParallel"},
    "torch.nn.utils._named_member_accessor": {"jaxnn.compat.foreign.plumbing": "swap_tensor"},
    "torch.nn.utils.spectral_norm": {"jaxnn.nn.utils": "remove_spectral_norm spectral_norm"},
    "torch.nn.utils.weight_norm": {"jaxnn.nn.utils": "remove_weight_norm weight_norm"},
    "torch.optim.adamw": {"jaxnn.optim": "AdamW"},
    "torch.utils.data.dataloader": {
        "jaxnn.compat.foreign.plumbing": "_DatasetKind=DatasetKind",
        "jaxnn.utils.data.dataloader": (
            "_BaseDataLoaderIter=_Batches _SingleProcessDataLoaderIter=_InProcess _MultiProcessingDataLoaderIter=_FromWorkers"
        ),
    },
    "torch.utils.data._utils": {},
    "torch.nn._reduction": {"jaxnn.compat.foreign.reduction_names": "get_enum legacy_get_enum legacy_get_string"},
    "torch.hub": {"tqdm": "tqdm", "urllib.parse": "urlparse"},
    "torch.utils.model_zoo": {"jaxnn.hub": "load_url=load_state_dict_from_url", "tqdm": "tqdm"},
    "torch.distributed._composable.fsdp": {
        "jaxnn.distributed.fsdp": "CPUOffloadPolicy FSDPModule MixedPrecisionPolicy OffloadPolicy fully_shard register_fsdp_forward_method",
    },
    "torch.distributed._composable.fsdp.fully_shard": {
        "jaxnn.distributed.fsdp": "FSDPModule UnshardHandle fully_shard register_fsdp_forward_method",
    },
    "torch.distributed._tensor": {
        "jaxnn.distributed.tensor": (
            "DTensor DeviceMesh Partial Placement Replicate Shard distribute_module distribute_tensor empty full init_device_mesh "
            "ones rand randn zeros"
        ),
    },
    "torch.distributed.tensor.device_mesh": {"jaxnn.distributed.device_mesh": "DeviceMesh init_device_mesh"},
    "torch.distributed.checkpoint.filesystem": {"jaxnn.distributed.checkpoint": "FileSystemReader FileSystemWriter"},
    "torch.distributed.checkpoint.state_dict_loader": {"jaxnn.distributed.checkpoint": "load"},
    "torch.distributed.checkpoint.state_dict_saver": {"jaxnn.distributed.checkpoint": "async_save save"},
    "torch.distributed.distributed_c10d": {
        "jaxnn.distributed": (
            "Backend GroupMember ProcessGroup ReduceOp Work all_gather all_gather_object all_reduce barrier broadcast "
            "destroy_process_group get_backend get_global_rank get_process_group_ranks get_rank get_world_size "
            "init_process_group is_gloo_available is_initialized is_mpi_available is_nccl_available new_group"
        ),
    },
    "torch.utils.weak": {
        "jaxnn.compat.foreign.plumbing": (
            "WeakIdKeyDictionary WeakTensorKeyDictionary=WeakIdKeyDictionary WeakIdRef TensorWeakRef=WeakIdRef"
        ),
    },
    "torch.utils.data._utils.worker": {
        "jaxnn.utils.data": "get_worker_info", "jaxnn.compat.foreign.plumbing": "_generate_state=generate_state",
    },
    "torch.utils.data._utils.collate": {
        "jaxnn.utils.data": "default_collate default_convert",
        "jaxnn.compat.foreign.plumbing": "np_str_obj_array_pattern",
        "jaxnn.utils.data.collate": "collate default_collate_fn_map collate_tensor_fn=_stack collate_numpy_array_fn=_stack_arrays",
    },
}
