"""Model files in the form in which a model server wants them."""
