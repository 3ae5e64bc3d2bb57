"""The verbs after the plan: components that train, generate, evaluate, probe and draw.

Belongs here: everything that needs torch or touches a run. Does not: the language; nothing in this
package imports `lmc.compiler` or lark, so a plan runs where only `lmc.spec` and `lmc.runtime` are.
"""
