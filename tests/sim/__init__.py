"""Seeded simulations of many processes of the real code, over a store that loses, delays and refuses."""
