"""The nodes of the runtime graph: frozen attrs components with typed inputs and one typed product.

Belongs here: for each top-level variant, what it needs and which function of the other packages makes its
product. Does not: the making itself, nor the order of the walk (`graph.py`).
"""
