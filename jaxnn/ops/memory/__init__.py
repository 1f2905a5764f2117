"""Where elements lie, and as what: strides, types, views of parts and bytes, numpy's memory."""
