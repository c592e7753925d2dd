"""The code that reads conf/: schemas and rules of settings, building objects from settings, trust in checkpoints."""
