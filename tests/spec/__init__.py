"""The specification as a program: each protocol of the design as a small model, every interleaving of which is checked.

``python -m tests.spec`` prints the table of models, ``python -m tests.spec MODEL VARIANT`` a counterexample. See
``docs/explanation/specification.md``.
"""
