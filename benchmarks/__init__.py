"""What we claim about speed, measured against its peer in one run: ``make bench``."""
