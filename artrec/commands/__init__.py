"""Commands that need no JVM; each module has the work as a function, and ``show`` to print it.

Modules with ``VERBS`` put the words of a command line before several of them, for ``artrec.cli``.
"""
