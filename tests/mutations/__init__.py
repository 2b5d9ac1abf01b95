"""A gallery of deliberate faults of the real code, each of which the simulation must notice."""
