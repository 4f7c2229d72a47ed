"""Where credentials come from, one module for each source."""
