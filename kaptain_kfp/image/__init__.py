"""Images: the training code, what it is built on, and the identity of both together."""
