"""The LightningDataModule: gives a corpus's windows to Lightning."""

from __future__ import annotations

import pytorch_lightning as pl
import torch

from lm.data.corpus import Corpus
from lm.data.streams import Windows


class CorpusDataModule(pl.LightningDataModule):
    """Gives the windows of a corpus to Lightning, one window as one batch."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__()
        self.corpus = corpus

    def setup(self, stage: str) -> None:
        device: torch.device = self.trainer.strategy.root_device  # type: ignore[union-attr]
        if device.type == "cuda":
            for windows in (self.corpus.train, self.corpus.valid, self.corpus.test):
                windows.put_on(device)

    def train_dataloader(self) -> Windows:
        return self.corpus.train

    def val_dataloader(self) -> Windows:
        return self.corpus.valid

    def test_dataloader(self) -> Windows:
        return self.corpus.test
