"""Text in Parquet files, as Hugging Face keeps it: a column `text`. It needs the optional package pyarrow."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from lm.system.errors import UserError


def rows(path: Path) -> Iterator[list[str]]:
    """Yield the texts of a Parquet file, some rows at a time. Raises UserError if it cannot be read."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"{path} is a Parquet file, and the package that reads it is missing: pip install pyarrow"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        if "text" not in file.schema_arrow.names:
            raise UserError(f"{path} has no column `text`, but {', '.join(file.schema_arrow.names)}")
        for batch in file.iter_batches(columns=["text"]):
            yield batch.column(0).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise UserError(f"{path} is not a sound Parquet file: {str(error).splitlines()[0]}; copy it again") from None
