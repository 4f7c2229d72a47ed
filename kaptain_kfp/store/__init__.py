"""Where model files and the history of models lie."""
