"""Public names of PyTorch that jaxnn lacks: namespace -> reason -> names. The lists may only shrink."""

from __future__ import annotations

GAPS: dict[str, dict[str, str]] = {
    "torch": {
        "names of TorchScript and of the C++ binding": """
            AVG AcceleratorError AggregationType AliasDb AnyType Argument ArgumentSpec AwaitType
            BenchmarkConfig BenchmarkExecutionStats Block BoolType BufferDict CallStack Capsule
            ClassType Code CompilationUnit CompleteArgumentSpec ComplexType ConcreteModuleType
            ConcreteModuleTypeBuilder DeepCopyMemoTable DeserializationStorageContext DeviceObjType
            DictType DisableTorchFunction DispatchKey DispatchKeySet
            EnumType ErrorReport ExcludeDispatchKeyGuard ExecutionPlan FatalError FileCheck FloatType
            FunctionSchema FutureType Gradient Graph GraphExecutorState IODescriptor InferredType
            IntType InterfaceType JITException ListType LiteScriptModule LockingLogger LoggerBase Node
            NoneType NoopLogger NumberType OperatorInfo OptionalType PRIVATE_OPS
            PyObjectType PyTorchFileReader PyTorchFileWriter RRefType SUM ScriptClass
            ScriptClassFunction ScriptDict ScriptDictIterator ScriptDictKeyIterator ScriptFunction
            ScriptList ScriptListIterator ScriptMethod ScriptModule ScriptModuleSerializer ScriptObject
            ScriptObjectProperty SerializationStorageContext StaticModule StreamObjType StringType
            TYPE_CHECKING Tag TensorType ThroughputBenchmark TracingState TupleType Type UnionType Use
            Value classproperty import_ir_module import_ir_module_from_buffer
            merge_type_from_type_comment parse_ir parse_schema parse_type_comment unify_type_list
        """,
        "typed storages are what Tensor.storage() returns; they have no constructor": """
            QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage Storage StorageBase
        """,
        "streams, events and futures: XLA schedules by itself": """
            Event Stream fork wait
        """,
        "parts of torch.compile and torch.export; JAX has lax.cond and lax.while_loop": """
            SymBool SymBoolType SymFloat SymInt SymIntType sym_constrain_range
            sym_constrain_range_for_size sym_float sym_fresh_size sym_int sym_ite sym_max sym_min
            sym_not sym_sqrt sym_sum
        """,
        "names of PyTorch's own libraries and build": """
            USE_GLOBAL_DEPS USE_RTLD_GLOBAL_WITH_LIBTORCH compiled_with_cxx11_abi
            cudnn_affine_grid_generator cudnn_batch_norm cudnn_convolution cudnn_convolution_add_relu
            cudnn_convolution_relu cudnn_convolution_transpose cudnn_grid_sampler cudnn_is_acceptable
            get_device_module get_file_path has_lapack has_mkl has_openmp has_spectral init_num_threads
            is_vulkan_available miopen_batch_norm miopen_convolution miopen_convolution_add_relu
            miopen_convolution_relu miopen_convolution_transpose miopen_ctc_loss
            miopen_depthwise_convolution miopen_rnn mkldnn_adaptive_avg_pool2d mkldnn_convolution
            mkldnn_linear_backward_weights mkldnn_max_pool2d mkldnn_max_pool3d mkldnn_rnn_layer
            prepare_multiprocessing_environment profiler_allow_cudagraph_cupti_lazy_reinit_cuda12
            thread_safe_generator
        """,
        "kernels behind a public function; use that one": """
            affine_grid_generator batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_elemt
            batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats
            batch_norm_update_stats conv_tbc convolution embedding_renorm_ grid_sampler
            grid_sampler_2d grid_sampler_3d is_distributed max_pool1d_with_indices native_batch_norm
            native_dropout native_group_norm native_layer_norm native_norm norm_except_dim
            segment_reduce slice_inverse
        """,
        "switches for devices that JAX does not have, and of autocast's own cache": """
            autocast_decrement_nesting autocast_increment_nesting get_autocast_ipu_dtype
            get_autocast_xla_dtype is_autocast_ipu_enabled is_autocast_xla_enabled
            set_autocast_cache_enabled set_autocast_ipu_dtype set_autocast_ipu_enabled
            set_autocast_xla_dtype set_autocast_xla_enabled
        """,
        "types that JAX does not compute with": """
            bit bits16 bits1x8 bits2x4 bits4x2 bits8 chalf complex32 float4_e2m1fn_x2 float8_e4m3fnuz
            float8_e5m2fnuz float8_e8m0fnu int1 int2 int3 int4 int5 int6 int7 legacy_contiguous_format
            uint1 uint2 uint3 uint4 uint5 uint6 uint7
        """,
        "of sparse layouts there are coordinates (COO) and rows (CSR)": """
            ccol_indices_copy col_indices_copy crow_indices_copy dsmm hsmm hspmm indices_copy jagged
            resize_as_sparse_ row_indices_copy saddmm smm sparse_bsc sparse_bsc_tensor sparse_bsr
            sparse_bsr_tensor sparse_compressed_tensor sparse_csc sparse_csc_tensor sspaddmm
            values_copy
        """,
        "quantised tensors are out of scope": """
            choose_qparams_optimized dequantize empty_quantized fake_quantize_per_channel_affine
            fake_quantize_per_tensor_affine fbgemm_linear_fp16_weight
            fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight
            fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight
            fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix fused_moving_avg_obs_fake_quant
            int_repr per_channel_affine per_channel_affine_float_qparams per_channel_symmetric
            per_tensor_affine per_tensor_symmetric q_per_channel_axis q_per_channel_scales
            q_per_channel_zero_points q_scale q_zero_point qint32 qint8 qscheme quantize_per_channel
            quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm quantized_gru
            quantized_gru_cell quantized_lstm quantized_lstm_cell quantized_max_pool1d
            quantized_max_pool2d quantized_max_pool3d quantized_rnn_relu_cell quantized_rnn_tanh_cell
            quint2x4 quint4x2 quint8
        """,
        "removed from PyTorch: calling them only raises": """
            eig lstsq matrix_rank solve symeig
        """,
        "reduction given as a number: use nn.functional": """
            embedding_bag feature_dropout_
        """,
        "not written": """
            lobpcg
        """,
        "use jaxnn.Tensor.__dlpack__ through from_dlpack": """
            to_dlpack
        """,
    },
    "torch.nn": {
        "helpers and text of PyTorch's own source files": """
            factory_kwargs
        """,
    },
    "torch.nn.functional": {
        "helpers and text of PyTorch's own source files": """
            BroadcastingList1 BroadcastingList2 BroadcastingList3 DType GRID_SAMPLE_INTERPOLATION_MODES
            GRID_SAMPLE_PADDING_MODES ScalingType SwizzleType assert_int_or_pair boolean_dispatch
            handle_torch_function has_torch_function has_torch_function_unary
            has_torch_function_variadic reproducibility_notes sparse_support_notes tf32_notes
        """,
        "products in 8-bit types, only on some GPUs": """
            grouped_mm scaled_grouped_mm scaled_mm
        """,
    },
    "torch.optim": {
        "not written": """
            swap_in_optimizer_params_and_state
        """,
    },
    "torch.optim.lr_scheduler": {
        "helpers and text of PyTorch's own source files": """
            EPOCH_DEPRECATION_WARNING
        """,
    },
    "torch.Tensor": {
        "parts of PyTorch's own engine: subclasses, half-precision complex numbers, names": """
            chalf grad_dtype module_load slice_inverse
        """,
        "of sparse layouts there are coordinates (COO) and rows (CSR); none are nested": """
            resize_as_sparse_ smm sparse_resize_and_clear_ sspaddmm to_sparse_bsc to_sparse_bsr
        """,
        "quantised tensors are out of scope": """
            q_per_channel_axis q_per_channel_scales q_per_channel_zero_points qscheme
        """,
        "removed from or deprecated in PyTorch, without a working public form": """
            reinforce resize_as volatile
        """,
        "devices and libraries that JAX does not have": """
            ipu storage_type to_mkldnn
        """,
    },
    "torch.linalg": {
        "helpers and text of PyTorch's own source files": """
            common_notes
        """,
    },
    "torch.fft": {
        "helpers and text of PyTorch's own source files": """
            common_args factory_common_args
        """,
    },
    "torch.special": {
        "helpers and text of PyTorch's own source files": """
            common_args multi_dim_common
        """,
    },
    "torch.sparse": {
        "layouts of one GPU library": """
            SparseSemiStructuredTensor SparseSemiStructuredTensorCUSPARSELT SparseSemiStructuredTensorCUTLASS
            to_sparse_semi_structured
        """,
        "helpers and text of PyTorch's own source files": """
            DType DimOrDims
        """,
        "not written; indices are always checked": """
            as_sparse_gradcheck check_sparse_tensor_invariants sampled_addmm spdiags spsolve
        """,
    },
    "torch.func": {
        "not written": """
            debug_unwrap rearrange
        """,
    },
    "torch.autograd": {
        "use jax.profiler": """
            DeviceType ProfilerActivity ProfilerConfig ProfilerEvent ProfilerState kineto_available
        """,
        "state of PyTorch's own autograd engine": """
            NestedIOFunction enforce_grad_layout_policy is_view_replay_enabled
        """,
        "helpers and text of PyTorch's own source files": """
            handle_torch_function has_torch_function is_tensor_like
        """,
    },
    "torch.cuda": {
        "driver and build details of PyTorch's CUDA library": """
            AcceleratorError CudaError DEVICE_REQUIREMENT DeferredCudaCallError Device
            PYTORCH_RELEASES_CODE_CC can_device_access_peer check_error clock_rate cudaStatus cudart
            current_blas_handle current_solver_handle default_generators device_of get_arch_list
            get_gencode_flags get_rng_state_all get_sync_debug_mode has_half has_magma is_tf32_supported
            list_gpu_processes power_draw set_rng_state_all set_sync_debug_mode temperature utilization
        """,
        "legacy constructors per device: say device= instead": """
            BFloat16Storage BFloat16Tensor BoolStorage BoolTensor ByteStorage ByteTensor CharStorage
            CharTensor ComplexDoubleStorage ComplexFloatStorage DoubleStorage DoubleTensor FloatStorage
            FloatTensor HalfStorage HalfTensor IntStorage IntTensor LongStorage LongTensor ShortStorage
            ShortTensor
        """,
        "XLA schedules by itself: no streams or captured graphs": """
            CUDAGraph ExternalStream GreenContext Stream StreamContext current_stream default_stream
            get_stream_from_external graph graph_pool_handle is_current_stream_capturing
            make_graphed_callables set_stream stream
        """,
        "XLA has an allocator of its own": """
            CUDAPluggableAllocator MemPool caching_allocator_alloc caching_allocator_delete
            caching_allocator_disabled caching_allocator_enable change_current_allocator
            device_memory_used get_allocator_backend get_per_process_memory_fraction host_memory_stats
            host_memory_stats_as_nested_dict max_memory_cached memory_cached memory_snapshot
            memory_stats_as_nested_dict memory_usage reset_accumulated_host_memory_stats
            reset_accumulated_memory_stats reset_max_memory_cached reset_peak_host_memory_stats
            set_per_process_memory_fraction use_mem_pool
        """,
        "helpers and text of PyTorch's own source files": """
            classproperty
        """,
    },
}
