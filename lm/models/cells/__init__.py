"""Recurrent cells, the options of `model/cell`: one per file, and in `gated` and `minimal` what some of them share."""

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.gru import GRU
from lm.models.cells.lstm import LSTM
from lm.models.cells.min_gru import MinGRU
from lm.models.cells.min_lstm import MinLSTM
from lm.models.cells.mogrifier import Mogrifier
from lm.models.cells.qrnn import QRNN
from lm.models.cells.rnn import RNN
from lm.models.cells.slstm import SLSTM

__all__ = [
    "GRU",
    "LSTM",
    "QRNN",
    "RNN",
    "SLSTM",
    "Cell",
    "MinGRU",
    "MinLSTM",
    "Mogrifier",
    "RecurrentLayer",
]
