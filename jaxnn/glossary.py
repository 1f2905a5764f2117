"""Arguments that mean the same wherever they stand; a docstring that says otherwise goes first.

Args:
    input: the tensor.
    other: the second operand: a tensor, or a number where Python's operator takes one.
    out: a tensor to write the result into, and to return; it gets the result's shape.
    dim: the dimension; a negative one counts from the end.
    dims: the dimensions; negative ones count from the end.
    dim0, dim1, dim2: a dimension each; negative ones count from the end.
    keepdim: keep the reduced dimensions, with size 1.
    dtype: the type of the result's elements; None: that of the operands, or the default type where there are none.
    device: where the result lives; None: the default device, or the operands'.
    layout: ``strided``, the only layout of dense tensors.
    requires_grad: whether autograd records operations on the result.
    pin_memory: a hint; memory is not pinned.
    memory_format: the order of the dimensions in memory that `stride` is to report.
    non_blocking: a hint; copies wait for nobody.
    copy: make a copy even where none is needed.
    generator: the source of random numbers; None: the default one, which `manual_seed` seeds.
    inplace: write the result into the input.
    eps: a small number added where a division by zero would threaten.
    reduction: 'none' gives each element's or sample's loss, 'mean' and 'sum' what their names say.
    size_average, reduce: deprecated forms of ``reduction``.
    target: what the prediction is compared with.
    weight: the weight.
    bias: what is added at the end; None: nothing.
    training: whether to act as in training or as in evaluation.
    size, sizes: the sizes of the dimensions, as a sequence or as separate integers.
    tensors: a sequence of tensors.
    names: names of dimensions; only None is taken.
    alpha: a factor of the second operand.
    beta: a factor of ``input``; with 0 its values are ignored, NaN too.
    value: the number.
    A: the matrix, or a batch of them.
    B: the right-hand side: (*, n, k), or (n) for a vector.
    n: a number of rows or columns.
    index: positions along ``dim``, as int64.
    indices: positions, as int64.
    src, source: a tensor of the values to take.
    mask: a bool tensor: where it is True.
    min, max: a bound: a number, a tensor, or None for none.
    start: the first.
    end: the last, or the one after it.
    step: the distance from one to the next.
    steps: how many.
    offset: which diagonal: 0 the main one, above it if positive, below if negative.
    diagonal: which diagonal: 0 the main one, above it if positive, below if negative.
    upper: use the upper triangle and not the lower one.
    transpose: solve with the transposed matrix.
    unitriangular: take the diagonal for ones, unread.
    left: whether the matrix stands on the left of the unknown.
    full_matrices: all of the square orthogonal factors and not just the columns in use.
    check_errors: raise where the factorization fails instead of saying so in ``info``.
    pivot: exchange rows for stability.
    hermitian: take the matrix for Hermitian (symmetric if real): faster, and reads one triangle only.
    rtol, atol: relative and absolute tolerance.
    rcond: singular values below this share of the largest count as zero.
    driver: LAPACK's routine; taken for compatibility, the result does not depend on it.
    ord: which norm.
    p: the exponent of the norm.
    q: the probability, or a tensor of them, within 0 and 1.
    k: how many.
    largest: the largest and not the smallest.
    sorted: whether the result is to be in order; it always is where that costs nothing.
    descending: from the largest to the smallest.
    stable: keep the order of equal elements.
    correction: subtracted from the number of elements in the divisor; 1 is Bessel's correction.
    unbiased: True is ``correction=1``, False ``correction=0``.
    interpolation: between two elements: 'linear', 'lower', 'higher', 'midpoint' or 'nearest'.
    equal_nan: whether NaN equals NaN.
    nan, posinf, neginf: what takes the place of NaN and of the infinities.
    accumulate: add to what is there instead of replacing it.
    include_self: whether the values that are there take part.
    repeats: how often.
    return_inverse: also give each element's place in the result.
    return_counts: also give how often each occurs.
    return_indices: also give where the maxima lay.
    split_size, split_sizes, split_size_or_sections: the size of each part, or a list of sizes.
    indices_or_sections: into how many equal parts, or before which positions.
    chunks: into how many parts.
    shape: the sizes of the dimensions.
    storage_offset: the place of the first element in memory, counted in elements.
    tensor: the tensor.
    tensor1, tensor2: a factor each, or dividend and divisor.
    mat, mat1, mat2: a matrix each.
    batch1, batch2: (b, n, m) and (b, m, p): a batch of matrices each.
    vec, vec1, vec2: a vector each.
    x1, x2: a tensor each, broadcast with one another.
    input1, input2: a tensor each, broadcast with one another.
    fill_value: the value of every element.
    low: the lowest value.
    high: the value above the highest.
    mean, std: mean and standard deviation: numbers, or tensors of them.
    lambd: the rate.
    exponent: the exponent: a number or a tensor.
    decimals: how many digits after the point; negative: before it.
    rounding_mode: None for the true quotient, 'trunc' towards zero, 'floor' downwards.
    condition: a bool tensor: where to take the first.
    num_classes: how many classes.
    max_norm: the largest norm allowed.
    norm_type: the exponent of the norm.
    blank: the class that stands for no label.
    margin: the distance that is asked for.
    swap: also measure from the positive to the negative sample and take the smaller distance (Balntas et al., 2016).
    label_smoothing: what share of the target is spread evenly over all classes.
    ignore_index: targets of this class count for nothing.
    pos_weight: a factor of each class's positive term.
    kernel_size: the window: one integer, or one for each dimension.
    stride: the step of the window: one integer, or one for each dimension.
    padding: what is added on both sides: one integer, or one for each dimension.
    dilation: the distance between the window's elements.
    ceil_mode: round the output's size up and not down.
    output_size: the output's spatial sizes: one integer, or one for each dimension.
    output_ratio: the output's sizes as shares of the input's.
    groups: into how many groups the channels are split that do not see each other.
    in_channels: the input's channels.
    out_channels: the output's channels.
    in_features: the size of the input's last dimension.
    out_features: the size of the output's last dimension.
    num_features: the number of channels, C.
    num_groups: into how many groups the channels are split.
    num_channels: the number of channels, C.
    normalized_shape: the sizes of the last dimensions, over which statistics are taken.
    elementwise_affine, affine: whether to scale and shift by learned parameters.
    momentum: the share of the new statistics in the running ones; None: their plain average.
    track_running_stats: whether to keep running statistics for evaluation.
    running_mean, running_var: the running statistics, which training updates.
    num_heads, nhead: the number of attention heads.
    batch_first: (batch, sequence, features) and not (sequence, batch, features).
    dropout, dropout_p: the probability of a zero.
    padding_idx: the row that gets no gradient.
    scale_grad_by_freq: divide each row's gradient by how often it occurs in the batch.
    sparse: give the gradient as a sparse tensor.
    align_corners: whether the corners' centres, or their edges, stay in place.
    antialias: smooth before scaling down.
    scale_factor: the output's size as a multiple of the input's.
    params: the parameters, or a list of groups: dicts with a key "params" and own options.
    lr: the learning rate: a number, or a tensor of one element.
    weight_decay: a factor of the parameters that is added to their gradients.
    betas: the decay of the running averages of the gradient and of its square.
    maximize: go up the gradient.
    foreach, fused, capturable: hints for PyTorch's kernels; a step is one program here either way.
    differentiable: let autograd see through the step.
    optimizer: the optimizer whose learning rates it sets.
    last_epoch: the step to go on from; -1 starts anew.
    total_iters: after how many steps the change is complete.
    gamma: the factor.
    module: the module.
    name: the name.
    model: the module.
    parameters: the parameters: one tensor or an iterable of them.
    func: the function.
    f: the function.
    function: the function.
    fn: the function.
    args, kwargs: what it is called with.
    inputs: the tensors.
    outputs: the results.
    grad_outputs, grad_tensors: the gradient that arrives at each; None is 1 for a result of one element.
    create_graph: record the backward, so that it can be differentiated again.
    retain_graph: keep what the backward needs for another one; by default as ``create_graph``.
    allow_unused: give None for inputs that the results do not depend on instead of raising.
    strict: raise where a result does not depend on an input, instead of zeros.
    argnums: which arguments to differentiate by: an integer or a tuple of them.
    has_aux: the function gives a pair, of which only the first is differentiated.
    chunk_size: how many to compute at once; None: all.
    randomness: 'error', 'same' or 'different' random numbers for each.
    in_dims, out_dims: the mapped dimension of each argument and result; None: not mapped.
    primals: the values at which to differentiate.
    tangents: the directions, shaped as ``primals``.
    hook: the function to call.
    enabled: whether it is in force.
    obj: any object.
    seed: an integer.
    new_state: what the matching getter gave.
    sampler: an iterable of indices.
    dataset: what is indexed, or iterated over.
    batch_size: samples per batch.
    drop_last: leave out a last, smaller batch.
    num_samples: how many to draw.
    replacement: whether one may be drawn twice.
    total_count: the number of trials.
    group: the process group; None: all processes.
    async_op: return at once, with a `Work` to wait for.
    tag: tells messages between the same two processes apart.
    op: how values are combined: one of `ReduceOp`.
    dst: the process that receives, by its global rank.
    group_src, group_dst: sender and receiver by their rank within the group.
    object_list: a list of objects that pickle takes; what arrives is put into it.
    timeout: how long to wait.
    pg_options: taken for compatibility; nothing depends on it.
    group_desc: a text that describes the group.
    progress: show a progress bar.
    weights: which pretrained weights; None: random ones.
    train: the training part and not the test part.
    transform: applied to each sample's input.
    target_transform: applied to each sample's target.
    download: fetch the files where they are missing.
    img: an image: a tensor (..., C, H, W), or one of PIL's.
    boxes: (N, 4): x1, y1, x2, y2 of each.
    boxes1: (N, 4): x1, y1, x2, y2 of each.
    boxes2: (M, 4): x1, y1, x2, y2 of each.
    spatial_scale: the size of the feature map as a share of the image's, in which boxes are given.
    sampling_ratio: points in each bin along each dimension; -1: as many as needed.
    norm_layer: makes a normalization of a number of channels.
    activation_layer: makes the activation.
    window_length: the number of points.
    periodic: leave out the last of one point more, as `stft` wants it; False gives a symmetric window.
    sym: symmetric; False: periodic, for spectral analysis.
    M: the number of points.
    bins: how many bins, or their edges.
    density: normalize so that the integral is 1.
    url: the address.
    map_location: where to put tensors: a device, or a function of a storage and its device.
    weights_only: take only tensors and plain data; anything else in the file raises.
    pickle_module: reads and writes what is no tensor.
    mmap: map the file into memory instead of reading it.
"""
