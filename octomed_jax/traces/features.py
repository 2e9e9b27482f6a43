"""What the datasets library reads of a Parquet file's columns, so that images come back as images."""

import json
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as that library stores an image


def with_features(schema: pa.Schema) -> pa.Schema:
    """Return a schema that describes its columns to that library, whatever their nesting."""
    described = {field.name: _feature(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": described}})})


def _feature(kind: pa.DataType) -> Any:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        one = _feature(kind.value_type)
        if isinstance(one, dict) and "_type" not in one:
            return [one]  # a Sequence of structs would come back as a struct of lists
        # Version 4 of the library knows Sequence as List too; those before know no List.
        return {"feature": one, "_type": "Sequence"}
    return {"dtype": "float64" if kind == pa.float64() else str(kind), "_type": "Value"}
