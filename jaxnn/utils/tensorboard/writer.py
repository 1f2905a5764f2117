"""PyTorch's SummaryWriter over tensorboardX's.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorboardX
from tensorboardX import summary as summaries
from tensorboardX.proto.api_pb2 import DataType
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.writer import FileWriter

from .graph import model_graph
from .guarded import guard
from .media import audio_summary, video_summary
from .values import as_bytes, as_number, as_numpy

__all__ = ["SummaryWriter"]

#: For each type TensorFlow's name of it, and the field of a TensorProto for its elements.
_TENSOR_FIELDS = {
    "float32": ("DT_FLOAT", "float_val"), "float64": ("DT_DOUBLE", "double_val"), "float16": ("DT_HALF", "half_val"),
    "uint8": ("DT_UINT8", "int_val"), "int8": ("DT_INT8", "int_val"), "int16": ("DT_INT16", "int_val"),
    "int32": ("DT_INT32", "int_val"), "int64": ("DT_INT64", "int64_val"), "bool": ("DT_BOOL", "bool_val"),
}  # fmt: skip


_FILES = itertools.count()


def _own_ending(suffix: str) -> str:
    """The end of a file's name: tensorboardX's names of one second are the same, and the later file replaced the other."""
    return f".{os.getpid()}.{next(_FILES)}{suffix}"


class _Writer(tensorboardX.SummaryWriter):
    _suffix: str | None = None
    _filename_suffix: Any

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:  # at the start, and after a close
            if self._suffix is None:
                self._suffix = self._filename_suffix
            self._filename_suffix = _own_ending(self._suffix)
        return guard(super()._get_file_writer())


class SummaryWriter:
    """Writes event files that TensorBoard shows.

    Args:
        log_dir: the folder; by default ``runs/DATE_TIME_HOSTNAME`` and the comment.
        comment: the end of the default folder's name.
        purge_step: TensorBoard forgets the events of an earlier run from this step on.
        max_queue: how many events wait before they are written.
        flush_secs: how many seconds they wait at most.
        filename_suffix: the end of the event files' names.

    Tensors may be ours, PyTorch's, JAX's or numpy's.

    Source: https://docs.pytorch.org/docs/stable/tensorboard.html#torch.utils.tensorboard.writer.SummaryWriter
    """

    def __init__(
        self, log_dir: Any = None, comment: str = "", purge_step: int | None = None, max_queue: int = 10,
        flush_secs: int = 120, filename_suffix: str = "",
    ) -> None:  # fmt: skip
        self._waits = {"max_queue": max_queue, "flush_secs": flush_secs}
        self.filename_suffix = filename_suffix
        self.purge_step = purge_step
        self._writer = _Writer(
            logdir=str(log_dir) if log_dir else None, comment=comment, purge_step=purge_step,
            filename_suffix=filename_suffix, **self._waits,
        )  # fmt: skip
        self.log_dir = self._writer.logdir

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def get_logdir(self) -> str:
        """The folder of the event files."""
        return self.log_dir

    def flush(self) -> None:
        """Write what waits to disk.

        Raises:
            OSError: when the disk has failed, for instance is full; so do all later calls.
        """
        if self._writer.all_writers is not None:
            self._writer.flush()
            self._check()

    def _check(self) -> None:
        for writer in (self._writer.all_writers or {}).values():
            writer.event_writer._ev_writer.check()

    def close(self) -> None:
        """Write what waits and close the files; writing again opens new ones."""
        if self._writer.all_writers is not None:
            files = [writer.event_writer._ev_writer for writer in self._writer.all_writers.values()]
            self._writer.close()
            for file in files:
                file.check()

    def _add(self, summary: Any, global_step: Any, walltime: float | None) -> None:
        self._writer._get_file_writer().add_summary(summary, _step(global_step), walltime)
        self._check()

    # ---- numbers

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: Any = None, walltime: float | None = None,
        new_style: bool = False, double_precision: bool = False,
    ) -> None:  # fmt: skip
        """A point of a curve; ``new_style`` writes it as a tensor, with ``double_precision`` as a float64 one."""
        value = as_number(scalar_value)
        if not new_style:
            self._add(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), global_step, walltime)
            return
        if double_precision:
            tensor = TensorProto(double_val=[value], dtype="DT_DOUBLE")
        else:
            tensor = TensorProto(float_val=[value], dtype="DT_FLOAT")
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
        self._add(Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=about)]), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Points of several curves in one chart; each curve has a folder of its own."""
        walltime = time.time() if walltime is None else walltime
        base = self._writer._get_file_writer().get_logdir()
        writers = self._writer.all_writers
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(base, f"{main_tag.replace('/', '_')}_{tag}")
            if folder not in writers:
                made = FileWriter(folder, filename_suffix=_own_ending(self.filename_suffix), **self._waits)
                writers[folder] = guard(made)
            point = Summary(value=[Summary.Value(tag=main_tag, simple_value=as_number(value))])
            writers[folder].add_summary(point, _step(global_step), walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """The elements of a tensor."""
        array = np.asarray(as_numpy(tensor))
        if array.dtype.name not in _TENSOR_FIELDS:
            raise ValueError(f"add_tensor: unsupported type {array.dtype}, expected one of {', '.join(_TENSOR_FIELDS)}")
        kind, field = _TENSOR_FIELDS[array.dtype.name]
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in array.shape])
        elements = array.view(np.uint16) if array.dtype == np.float16 else array
        written = TensorProto(dtype=kind, tensor_shape=shape, **{field: elements.reshape(-1).tolist()})
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="tensor"))
        self._add(Summary(value=[Summary.Value(tag=tag, tensor=written, metadata=about)]), global_step, walltime)

    def add_histogram(
        self, tag: str, values: Any, global_step: Any = None, bins: Any = "tensorflow", walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:  # fmt: skip
        """The distribution of values; ``bins`` as for `numpy.histogram`, or 'tensorflow' for exponential ones."""
        if isinstance(bins, str) and bins == "tensorflow":
            bins = self._writer.default_bins
        found = summaries.histogram(tag, np.asarray(as_numpy(values)), bins, max_bins=max_bins)
        self._add(found, global_step, walltime)

    def add_histogram_raw(
        self, tag: str, min: Any, max: Any, num: Any, sum: Any, sum_squares: Any, bucket_limits: Any, bucket_counts: Any,
        global_step: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A histogram that is there already: one count for each upper limit."""
        limits, counts = as_numpy(bucket_limits), as_numpy(bucket_counts)
        if len(limits) != len(counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        numbers = map(as_number, (min, max, num, sum, sum_squares))
        self._add(summaries.histogram_raw(tag, *numbers, list(limits), list(counts)), global_step, walltime)

    # ---- pictures, sound, text

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """An image of 0 to 255 (uint8) or 0 to 1; ``dataformats`` names the axes: CHW, HWC or HW."""
        self._add(summaries.image(tag, as_bytes(img_tensor), dataformats=dataformats), global_step, walltime)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:  # fmt: skip
        """Several images as one."""
        if isinstance(img_tensor, list):  # of single images
            img_tensor = np.stack([np.asarray(as_numpy(image)) for image in img_tensor])
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_image_with_boxes(
        self, tag: str, img_tensor: Any, box_tensor: Any, global_step: Any = None, walltime: float | None = None,
        rescale: float = 1, dataformats: str = "CHW", labels: Any = None,
    ) -> None:  # fmt: skip
        """An image with boxes (N, 4) of xmin, ymin, xmax, ymax drawn in, labelled by a list of N texts."""
        boxes = np.asarray(as_numpy(box_tensor))
        if labels is not None:
            labels = [labels] if isinstance(labels, str) else labels
            if len(labels) != len(boxes):
                labels = None
        drawn = summaries.image_boxes(
            tag, as_bytes(img_tensor), boxes, rescale=rescale, dataformats=dataformats, labels=labels
        )
        self._add(drawn, global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: Any = None, close: bool = True, walltime: float | None = None
    ) -> None:
        """A matplotlib figure, or a list of them, as a picture; ``close`` closes them."""
        self._writer.add_figure(tag, figure, _step(global_step), close, walltime)

    def add_video(
        self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4, walltime: float | None = None
    ) -> None:
        """Videos (N, T, C, H, W) of 0 to 255 (uint8) or 0 to 1, side by side."""
        self._add(video_summary(tag, vid_tensor, fps), global_step, walltime)

    def add_audio(
        self, tag: str, snd_tensor: Any, global_step: Any = None, sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Sound (1, L) of -1 to 1."""
        self._add(audio_summary(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None) -> None:
        """Text, read as Markdown."""
        self._add(summaries.text(tag, text_string), global_step, walltime)

    # ---- models and experiments

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """The modules of a model with the edges between them, found by running it once on ``input_to_model``.

        ``verbose`` prints the graph; ``use_strict_trace`` has no effect, containers need no trace here.
        """
        graph = model_graph(model, () if input_to_model is None else input_to_model)
        if verbose:
            print(graph)
        self._writer._get_file_writer().add_event(Event(graph_def=graph.SerializeToString()))

    def add_onnx_graph(self, prototxt: str) -> None:
        """The graph of an ONNX file; needs the package onnx."""
        self._writer.add_onnx_graph(prototxt)

    def add_embedding(
        self, mat: Any, metadata: Any = None, label_img: Any = None, global_step: Any = None, tag: str = "default",
        metadata_header: Any = None,
    ) -> None:  # fmt: skip
        """Points (N, D) for the projector, with N labels and images (N, C, H, W) of 0 to 1."""
        images = None if label_img is None else np.asarray(as_numpy(label_img))
        labels = metadata if metadata is None or isinstance(metadata, list) else list(as_numpy(metadata))
        points = np.asarray(as_numpy(mat))
        self._writer.add_embedding(points, labels, images, _step(global_step), tag, metadata_header)

    def add_pr_curve(
        self, tag: str, labels: Any, predictions: Any, global_step: Any = None, num_thresholds: int = 127,
        weights: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Precision against recall of probabilities for binary labels."""
        found = summaries.pr_curve(
            tag, np.asarray(as_numpy(labels)), np.asarray(as_numpy(predictions)), num_thresholds,
            None if weights is None else np.asarray(as_numpy(weights)),
        )  # fmt: skip
        self._add(found, global_step, walltime)

    def add_pr_curve_raw(
        self, tag: str, true_positive_counts: Any, false_positive_counts: Any, true_negative_counts: Any,
        false_negative_counts: Any, precision: Any, recall: Any, global_step: Any = None, num_thresholds: int = 127,
        weights: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A precision-recall curve that is there already."""
        given = (
            true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts, precision, recall,
        )  # fmt: skip
        arrays = [np.asarray(as_numpy(a)) for a in given]
        weights = None if weights is None else np.asarray(as_numpy(weights))
        self._add(summaries.pr_curve_raw(tag, *arrays, num_thresholds, weights), global_step, walltime)

    def add_custom_scalars(self, layout: dict[str, dict[str, list[Any]]]) -> None:
        """Which curves share a chart: {category: {title: ['Multiline' or 'Margin', [tags]]}}."""
        self._writer.add_custom_scalars(layout)

    def add_custom_scalars_multilinechart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Several curves in one chart."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """A curve between two others that bound it: three tags."""
        if len(tags) != 3:
            raise AssertionError(f"add_custom_scalars_marginchart: expected 3 tags, got {len(tags)}")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(
        self, tag: str, vertices: Any, colors: Any = None, faces: Any = None, config_dict: Any = None,
        global_step: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Point clouds or meshes: vertices (B, N, 3), colours (B, N, 3) of 0 to 255, faces (B, M, 3)."""
        arrays = [None if a is None else np.asarray(as_numpy(a)) for a in (vertices, colors, faces)]
        self._add(summaries.mesh(tag, *arrays, config_dict), global_step, walltime)

    def add_hparams(
        self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None, run_name: str | None = None,
        global_step: Any = None,
    ) -> None:  # fmt: skip
        """Hyperparameters and what they led to, as one row of a table; each call has a folder of its own."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        plain = {k: _hparam(k, v) for k, v in hparam_dict.items()}
        experiment, start, end = summaries.hparams(plain, metric_dict)
        _state_domains(experiment, plain, hparam_domain_discrete or {})
        folder = os.path.join(self._writer._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(log_dir=folder) as own:
            for part in (experiment, start, end):
                own._add(part, global_step, None)
            for name, value in metric_dict.items():
                own.add_scalar(name, value, global_step)


def _step(given: Any) -> int | None:
    return None if given is None else int(as_number(given))


def _hparam(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    array = as_numpy(value)
    if isinstance(array, (np.ndarray, np.generic)) and array.size == 1:
        return np.asarray(array).item()
    raise ValueError(
        f"add_hparams: value of {name!r} should be one of int, float, str, bool, or a tensor of one element"
    )


def _state_domains(experiment: Any, values: dict[str, Any], domains: dict[str, list[Any]]) -> None:
    """Write which values each hyperparameter may have into an experiment's summary.

    Raises:
        TypeError: for a domain that is no list of the hyperparameter's type.
    """
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    kinds = {str: "STRING", bool: "BOOL", int: "FLOAT64", float: "FLOAT64"}
    for name, domain in domains.items():
        if (
            name not in values
            or not isinstance(domain, list)
            or not all(isinstance(d, type(values[name])) for d in domain)
        ):
            raise TypeError(
                f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."
            )
        info = next(i for i in content.experiment.hparam_infos if i.name == name)
        info.type = DataType.Value(f"DATA_TYPE_{kinds[type(values[name])]}")
        info.domain_discrete.extend(domain)
    plugin.content = content.SerializeToString()
