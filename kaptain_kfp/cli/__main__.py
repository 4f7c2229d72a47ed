"""The command as ``python -m kaptain_kfp.cli``."""

from __future__ import annotations

from kaptain_kfp.cli import main

if __name__ == "__main__":
    main(prog_name="kaptain")
