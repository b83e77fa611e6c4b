"""A voice, ears and a brain that need neither a key nor a network nor a model download."""
