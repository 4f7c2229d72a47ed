"""For tests: local worlds, contract suites, a pytest plugin."""
