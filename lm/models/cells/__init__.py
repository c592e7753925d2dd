"""Recurrent cells, one per file. They are the options of the `model/cell` group."""

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.lstm import LSTM
from lm.models.cells.mogrifier import Mogrifier

__all__ = [
    "LSTM",
    "Cell",
    "Mogrifier",
    "RecurrentLayer",
]
