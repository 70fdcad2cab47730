"""How well a method does: what is measured, and the methods it is measured against."""
