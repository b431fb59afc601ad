"""Commands that need no JVM; each module has the work as a function, and ``show`` to print it."""
