"""Recurrent cells, one a file: what `model/cell` chooses."""

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.lstm import LSTM
from lm.models.cells.mogrifier import Mogrifier

__all__ = [
    "LSTM",
    "Cell",
    "Mogrifier",
    "RecurrentLayer",
]
