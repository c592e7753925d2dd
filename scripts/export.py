"""A model to ship: `python scripts/export.py checkpoint=PATH out=DIR [format=safetensors]`."""

from lm.__main__ import run

if __name__ == "__main__":
    run("export")
