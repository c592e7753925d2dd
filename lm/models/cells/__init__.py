"""Recurrent cells, one in each file: the options of `model/cell`."""

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.lstm import LSTM
from lm.models.cells.mogrifier import Mogrifier

__all__ = [
    "LSTM",
    "Cell",
    "Mogrifier",
    "RecurrentLayer",
]
