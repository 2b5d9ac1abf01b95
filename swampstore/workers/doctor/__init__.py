"""The doctor: what is wrong with a namespace, what to do about it, and the repairs that can be proved."""
